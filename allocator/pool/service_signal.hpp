// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Who has to write to the event descriptor: one of all that want service between two services, and never none.
//
//   who wants service:  changes what service() looks at;  raise();  when it says so, writes to the event
//   service():          empties the event;  lower();  looks
//
// Somebody who finds the signal raised writes nothing. Then either lower() comes after and service() sees the change,
// or it has come and raise() found the signal lowered. That needs an exchange: a look at the signal first could see the
// old value while service() sees the old state (store-load). And the event is emptied first: else what is written
// between the two would be lost.
#pragma once

#include <atomic>
#include <cstdint>

namespace bounce {

/// Policy: as in slot_ops.hpp.
template <class Policy>
class ServiceSignal {
public:
    ServiceSignal() noexcept { raised_.store(0, std::memory_order_relaxed); }

    /// True: the caller has to write to the event.
    bool raise() noexcept {
        // S1: acq_rel, release pairs with S2: who lowers the signal sees what this thread did.
        return raised_.exchange(1, std::memory_order_acq_rel) == 0;
    }
    void lower() noexcept {
        // S2: acq_rel, acquire pairs with S1.
        raised_.exchange(0, std::memory_order_acq_rel);
    }

private:
    typename Policy::template Atomic<std::uint32_t> raised_;
};

}  // namespace bounce
