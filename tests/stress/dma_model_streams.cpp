// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Mappings of every kind, and the device's side of them.
#include "tests/stress/dma_model_run.hpp"

namespace bounce::model {

Mapped ModelRun::make(std::size_t pieces) {
    Mapped made;
    made.device = below(devices_.size());
    made.direction = static_cast<int>(below(3));
    const std::uint64_t flags = below(8);
    made.flags = flags == 0 ? BOUNCE_MAP_SKIP_SYNC : flags == 1 ? BOUNCE_MAP_PRESERVE : 0;
    if (below(4) == 0) made.flags |= BOUNCE_MAP_NO_WARN;
    for (std::size_t i = 0; i < pieces; ++i) {
        const std::size_t bytes = pieces == 1 ? size() : 1 + below(3000);
        const std::size_t shift = below(4096);
        made.sizes.push_back(bytes);
        made.storage.emplace_back(new std::uint8_t[bytes + shift]);
        made.buffers.push_back(made.storage.back().get() + shift);
        Bytes content(bytes);
        for (auto& byte : content) byte = static_cast<std::uint8_t>(random_());
        std::memcpy(made.buffers.back(), content.data(), bytes);
        made.privately.push_back(std::move(content));
    }
    made.side = Side(made.total(), limits_[made.device].scrubbed);
    if (copies_in(made.direction, made.flags)) made.to_device(0, made.total());
    return made;
}
void ModelRun::keep(Mapped&& made, std::uint64_t slots) {
    accounts_.maps += slots;
    accounts_.mappings += slots;
    accounts_.payload += made.total();
    check_device(made);
    mapped_.push_back(std::move(made));
    served(mapped_.back().device);
}
std::uint64_t ModelRun::address(const Mapped& made, std::size_t i) const {
    return reinterpret_cast<std::uintptr_t>(made.buffers[i]);
}

void ModelRun::map() {
    operation_ = "map";
    Mapped made = make(1);
    made.tokens.resize(1);
    const Limits& limits = limits_[made.device];
    int code = limits.refusal(address(made, 0), made.sizes[0]);
    if (code == 0 && held_[made.device] != kNotHeld) code = EPROTO;
    const std::uint64_t align = std::uint64_t{1} << below(14);
    const bool with = below(4) == 0;
    const bounce_map_options options{sizeof options, with ? align : 0, made.flags, 0};
    const int got = with ? bounce_device_map_with(devices_[made.device], made.buffers[0], made.sizes[0], made.direction,
                                                  &options, made.tokens.data())
                         : bounce_device_map(devices_[made.device], made.buffers[0], made.sizes[0], made.direction,
                                             made.flags, made.tokens.data());
    if (is_refusal(got) && code == 0) return refused(made.device, got, made.sizes[0] + 4096);
    expect(got, code);
    if (code != 0) return;
    const bounce_mapping& token = made.tokens[0];
    check(limits.kept_by(token.addr, token.bytes, address(made, 0)), "the device's limits are not kept");
    if (with)
        check((token.addr - (address(made, 0) & limits.min_align_mask)) % align == 0, "the alignment is not kept");
    made.segments = {{token.addr, token.bytes}};
    keep(std::move(made), 1);
}
void ModelRun::map_sg() {
    operation_ = "map_sg";
    Mapped made = make(1 + below(12));
    made.kind = Mapped::Kind::kSg;
    made.tokens.resize(made.sizes.size());
    std::vector<bounce_sg> sg;
    int code = 0;
    for (std::size_t i = 0; i < made.sizes.size(); ++i) {
        sg.push_back({made.buffers[i], made.sizes[i], 0, 0});
        if (code == 0) code = limits_[made.device].refusal(address(made, i), made.sizes[i]);
    }
    const bool held = held_[made.device] != kNotHeld;
    const int got = bounce_device_map_sg(devices_[made.device], sg.data(), sg.size(), made.direction, made.flags,
                                         made.tokens.data());
    if (held) return check(got == -EPROTO || got == -EDOM || got == -E2BIG, "a device in quarantine was served");
    if (got < 0) {
        // Those before the one that could not be had were made and taken back: they are counted.
        const std::uint64_t made_once = stats().maps - accounts_.maps;
        check(made_once < sg.size(), "more mappings were made than there are pieces");
        accounts_.maps += made_once;
    }
    if (is_refusal(got) && code == 0) return refused(made.device, got, made.total() + made.sizes.size() * 4096);
    expect(got, code);
    if (code != 0) return;
    for (std::size_t i = 0; i < sg.size(); ++i) {
        made.segments.push_back({made.tokens[i].addr, made.tokens[i].bytes});
        check(limits_[made.device].kept_by(made.tokens[i].addr, made.sizes[i], address(made, i)), "limits");
    }
    keep(std::move(made), sg.size());
}
void ModelRun::map_list() {
    operation_ = "map_list";
    Mapped made = make(1 + below(8));
    made.kind = Mapped::Kind::kList;
    std::vector<bounce_sg> sg;
    for (std::size_t i = 0; i < made.sizes.size(); ++i) sg.push_back({made.buffers[i], made.sizes[i], 0, 0});
    const std::size_t most = 1 + below(64);
    made.tokens.resize(sg.size() + most);
    made.segments.resize(most);
    made.list = {sizeof(bounce_list), made.tokens.data(), made.tokens.size(), made.segments.data(), most, 0, 0, 0};
    const bounce_map_options options{sizeof options, 0, made.flags, 0};
    const std::uint64_t before = stats().mappings;
    const std::uint64_t maps = stats().maps;
    const int got =
        bounce_device_map_list(devices_[made.device], sg.data(), sg.size(), made.direction, &options, &made.list);
    const std::uint64_t slots = stats().mappings - before;
    if (got < 0) {
        check(slots == 0 && made.list.n_mappings == 0, "something is left of a list that failed");
        accounts_.maps += stats().maps - maps;  // what was taken and given back
        if (held_[made.device] != kNotHeld) return expect(got, EPROTO);
        if (is_refusal(got)) return refused(made.device, got, made.total() + sg.size() * 4096);
        // With the segments that the model cannot do without, the limits would have been kept.
        return check(got == -E2BIG && most < fewest_segments(made) + sg.size() + made.total() / 2048,
                     "a list was refused that the limits allow");
    }
    check(held_[made.device] == kNotHeld, "a device in quarantine was served");
    check(static_cast<std::size_t>(got) == made.list.n_segments && made.list.n_segments <= most, "segments");
    check(made.list.bytes == made.total(), "bytes");
    made.segments.resize(made.list.n_segments);
    made.list.segments = made.segments.data();
    std::uint64_t sum = 0;
    for (const bounce_segment& segment : made.segments) {
        const Limits& limits = limits_[made.device];
        check(segment.bytes <= limits.max_segment, "a segment is too long");
        check(limits.boundary == 0 ||
                  segment.addr / limits.boundary == (segment.addr + segment.bytes - 1) / limits.boundary,
              "a segment crosses the boundary");
        sum += segment.bytes;
    }
    check(sum == made.total(), "the segments do not add up");
    for (std::size_t i = 0; i < made.list.n_mappings; ++i)
        check(((made.tokens[i].addr ^ reinterpret_cast<std::uintptr_t>(made.tokens[i].orig)) &
               limits_[made.device].min_align_mask) == 0,
              "the low bits of an address are not kept");
    keep(std::move(made), slots);
}
std::size_t ModelRun::fewest_segments(const Mapped& made) const {
    const Limits& limits = limits_[made.device];
    const std::uint64_t most = std::min(limits.max_segment, limits.boundary == 0 ? ~std::uint64_t{0} : limits.boundary);
    return 1 + made.total() / most;
}

/// What the device finds is what the model says.
void ModelRun::check_device(const Mapped& mapped) {
    Bytes there;
    for (const bounce_segment& segment : mapped.segments) {
        const std::uint8_t* from = seen(segment.addr, segment.bytes);
        there.insert(there.end(), from, from + segment.bytes);
    }
    check(there.size() == mapped.side.bytes.size() && mapped.side.is(there.data()), "the device sees other bytes");
}
void ModelRun::device_writes() {
    operation_ = "device writes";
    if (mapped_.empty()) return;
    Mapped& mapped = mapped_[below(mapped_.size())];
    check_device(mapped);
    const std::size_t total = mapped.total();
    const std::size_t at = below(total);
    const std::size_t n = 1 + below(total - at);
    Bytes bytes(n);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    std::size_t start = 0;
    for (const bounce_segment& segment : mapped.segments) {
        const std::size_t from = std::max(at, start);
        const std::size_t until = std::min(at + n, start + segment.bytes);
        if (from < until)
            std::memcpy(seen(segment.addr, segment.bytes) + (from - start), bytes.data() + (from - at), until - from);
        start += segment.bytes;
    }
    mapped.side.put(at, bytes.data(), n);
}

void ModelRun::sync() {
    operation_ = "sync";
    if (mapped_.empty()) return;
    Mapped& mapped = mapped_[below(mapped_.size())];
    if (mapped.kind == Mapped::Kind::kSg) return;
    const std::size_t total = mapped.total();
    const std::size_t at = below(total);
    const std::size_t n = below(20) == 0 ? total - at + 1 : 1 + below(total - at);
    const int direction = below(4) == 0 ? static_cast<int>(below(3)) : mapped.direction;
    const bool cpu = below(2) == 0;
    if (!cpu) {  // the CPU had it, and wrote
        mapped.for_range(at, std::min(n, total - at),
                         [&](std::size_t i, std::size_t offset, std::size_t, std::size_t bytes) {
                             for (std::size_t b = 0; b < bytes; ++b)
                                 mapped.buffers[i][offset + b] = mapped.privately[i][offset + b] =
                                     static_cast<std::uint8_t>(random_());
                         });
    }
    int code = 0;
    if (at + n > total)
        code = EINVAL;
    else if (mapped.direction != BOUNCE_BIDIRECTIONAL && direction != mapped.direction)
        code = EPERM;
    else if (mapped.stale)
        code = ESTALE;
    bounce_device* device = devices_[mapped.device];
    int got = 0;
    if (mapped.kind == Mapped::Kind::kList)
        got = cpu ? bounce_device_sync_list_for_cpu(device, &mapped.list, at, n, direction)
                  : bounce_device_sync_list_for_device(device, &mapped.list, at, n, direction);
    else
        got = cpu ? bounce_device_sync_for_cpu(device, mapped.tokens.data(), at, n, direction)
                  : bounce_device_sync_for_device(device, mapped.tokens.data(), at, n, direction);
    expect(got, code);
    if (code == 0 && cpu && direction != BOUNCE_TO_DEVICE) mapped.to_cpu(at, n);
    if (code == 0 && !cpu && direction != BOUNCE_FROM_DEVICE) mapped.to_device(at, n);
    check(mapped.private_is_right(), "the private side has other bytes");
}

int ModelRun::end_tokens(std::size_t d, Mapped& mapped, std::size_t written, std::vector<bounce_mapping>& tokens) {
    bounce_device* device = devices_[d];
    switch (mapped.kind) {
        case Mapped::Kind::kOne: return bounce_device_unmap(device, tokens.data(), written);
        case Mapped::Kind::kSg: return bounce_device_unmap_sg(device, tokens.data(), tokens.size(), written);
        default: mapped.list.mappings = tokens.data(); return bounce_device_unmap_list(device, &mapped.list, written);
    }
}
void ModelRun::end(std::size_t index) {
    operation_ = "unmap";
    Mapped& mapped = mapped_[index];
    check_device(mapped);
    const std::size_t total = mapped.total();
    const std::size_t written = below(3) == 0 ? SIZE_MAX : below(total + 2);
    const std::uint64_t slots = stats().mappings;
    if (below(16) == 0) {  // of another device, it changes nothing
        std::vector<bounce_mapping> copies = mapped.tokens;
        expect(end_tokens((mapped.device + 1) % devices_.size(), mapped, written, copies), EXDEV);
        mapped.list.mappings = mapped.tokens.data();
    }
    std::vector<bounce_mapping> copies = mapped.tokens;
    const bool copies_back = mapped.direction != BOUNCE_TO_DEVICE;
    expect(end_tokens(mapped.device, mapped, written, mapped.tokens), mapped.stale && copies_back ? ESTALE : 0);
    const std::uint64_t ended = slots - stats().mappings;
    if (copies_back && !mapped.stale && (mapped.flags & BOUNCE_MAP_SKIP_SYNC) == 0)
        mapped.to_cpu(0, std::min(written, total));
    check(mapped.private_is_right(), "the private side has other bytes");
    // Twice, by the same token and by a copy.
    expect(end_tokens(mapped.device, mapped, written, mapped.tokens), EALREADY);
    const int again = end_tokens(mapped.device, mapped, written, copies);
    check(again == -EALREADY || again == -ESTALE, "a copy of an ended token is good");
    check(mapped.private_is_right() && stats().mappings == slots - ended, "a second end did something");
    check(ended == (mapped.kind == Mapped::Kind::kList ? ended : mapped.tokens.size()) && ended != 0, "slots");
    accounts_.mappings -= ended;
    accounts_.payload -= total;
    note_held(mapped.device, ended);
    std::swap(mapped_[index], mapped_.back());
    mapped_.pop_back();
}

}  // namespace bounce::model
