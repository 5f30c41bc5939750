# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# bash completion for bouncectl: commands, options, and names of tunables of the pool that there is.
_bouncectl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
    local commands="list show top map who hist get set watch check events snapshot metrics doctor policy record replay advise region quarantine revoke"
    local target="--socket --pid --name"
    COMPREPLY=()
    case $before in
        --socket | --snapshot | --stats | --save | --load | --serve)
            compopt -o default
            return
            ;;
        --pid | --name | --gpa | --older | --device | --most | --every | --rounds | --node | --region) return ;;
        --seconds | --limit | --size | --headroom | --lead) return ;;
        --set)
            compopt -o nospace
            COMPREPLY=($(compgen -W "pool.limit_bytes= pool.low_watermark= pool.high_watermark= pool.reserve_bytes= reuse_policy= reuse_window_bytes=" -- "$word"))
            return
            ;;
        --sort)
            COMPREPLY=($(compgen -W "rate used name" -- "$word"))
            return
            ;;
    esac
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "$commands --help --version" -- "$word"))
        return
    fi
    case $command in
        list) COMPREPLY=($(compgen -W "$target -j -p --help" -- "$word")) ;;
        show) COMPREPLY=($(compgen -W "pool node class device ring tunables --tree --snapshot --stats $target -j -p --help" -- "$word")) ;;
        top) COMPREPLY=($(compgen -W "-o --sort --every --rounds $target -j -p --help" -- "$word")) ;;
        watch) COMPREPLY=($(compgen -W "--every --rounds $target --help" -- "$word")) ;;
        who) COMPREPLY=($(compgen -W "--gpa --older --device --most --snapshot $target -j -p --help" -- "$word")) ;;
        map | hist | check) COMPREPLY=($(compgen -W "--snapshot --stats $target -j -p --help" -- "$word")) ;;
        events) COMPREPLY=($(compgen -W "-f --snapshot $target -j -p --help" -- "$word")) ;;
        region)
            if ((COMP_CWORD == 2)); then
                COMPREPLY=($(compgen -W "add drain remove" -- "$word"))
            else
                COMPREPLY=($(compgen -W "--node $target -j -p --help" -- "$word"))
            fi
            ;;
        quarantine) COMPREPLY=($(compgen -W "$target -j -p --help" -- "$word")) ;;
        revoke) COMPREPLY=($(compgen -W "--region $target -j -p --help" -- "$word")) ;;
        metrics) COMPREPLY=($(compgen -W "--serve --snapshot --stats $target --help" -- "$word")) ;;
        snapshot)
            compopt -o default
            COMPREPLY=($(compgen -W "$target --help" -- "$word"))
            ;;
        record | replay | advise)
            compopt -o default
            local options="--seconds $target"
            [[ $command == replay ]] && options="--limit --size --set"
            [[ $command == advise ]] && options="live --headroom --lead $options"
            COMPREPLY=($(compgen -W "$options -j -p --help" -- "$word"))
            [[ $word == -* || $word == l* ]] || COMPREPLY=()
            ;;
        get | set)
            local names
            names=$(bouncectl get 2>/dev/null)
            [[ $command == get ]] && names=$(sed 's/=.*//' <<<"$names")
            COMPREPLY=($(compgen -W "$names --save --load --dry-run $target -j -p --help" -- "$word"))
            ;;
        policy)
            COMPREPLY=($(compgen -W "--platform --transport --features --iommu --trusted --untrusted --dma-bits --coherent-bits --memory-bits --align --without-access-platform --bounce --address --table -j -p --help" -- "$word"))
            ;;
    esac
}
complete -F _bouncectl bouncectl
