// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Forms of a saved pool: as they come, and with a length and checksum that fit, so that the fuzzer gets behind those.
#include <span>
#include <vector>

#include "tests/fuzz/fuzz_target.hpp"
#include "tests/support/saved_pool.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const bounce::test::SharedFile file(1u << 20);
    constexpr std::uint64_t kBase = 0x1'0000'0000;
    std::vector<std::byte> form(size);
    for (std::size_t i = 0; i < size; ++i) form[i] = static_cast<std::byte>(data[i]);
    bounce::test::try_restore(file, kBase, form);
    if (size < bounce::SaveForm::kHeaderBytes) return 0;
    bounce::SaveForm::seal(form);
    bounce::test::try_restore(file, kBase, form);
    return 0;
}
