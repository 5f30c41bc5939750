// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "api/dma/copy.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include "allocator/base/types.hpp"

namespace bounce {
namespace {

/// A write-combining buffer that is not filled by the stores of one line goes out in pieces, which costs more than what
/// streaming saves. So whole lines are streamed, and what stands before and behind them is copied.
struct Lines {
    std::size_t head;   // bytes before the first whole line
    std::size_t count;  // whole lines
};

Lines whole_lines(const std::byte* slot, std::size_t bytes) noexcept {
    const std::size_t head = (kCacheLine - reinterpret_cast<std::uintptr_t>(slot) % kCacheLine) % kCacheLine;
    return {head, head < bytes ? (bytes - head) / kCacheLine : 0};
}

void stream_sse2(std::byte* slot, const std::byte* buf, std::size_t lines) noexcept {
    for (; lines != 0; --lines, slot += kCacheLine, buf += kCacheLine) {
        const auto* from = reinterpret_cast<const __m128i*>(buf);
        auto* to = reinterpret_cast<__m128i*>(slot);
        const __m128i a = _mm_loadu_si128(from);
        const __m128i b = _mm_loadu_si128(from + 1);
        const __m128i c = _mm_loadu_si128(from + 2);
        const __m128i d = _mm_loadu_si128(from + 3);
        _mm_stream_si128(to, a);
        _mm_stream_si128(to + 1, b);
        _mm_stream_si128(to + 2, c);
        _mm_stream_si128(to + 3, d);
    }
}

[[gnu::target("avx2")]] void stream_avx2(std::byte* slot, const std::byte* buf, std::size_t lines) noexcept {
    for (; lines != 0; --lines, slot += kCacheLine, buf += kCacheLine) {
        const auto* from = reinterpret_cast<const __m256i*>(buf);
        auto* to = reinterpret_cast<__m256i*>(slot);
        const __m256i a = _mm256_loadu_si256(from);
        const __m256i b = _mm256_loadu_si256(from + 1);
        _mm256_stream_si256(to, a);
        _mm256_stream_si256(to + 1, b);
    }
}

bool has_avx2() noexcept {
    __builtin_cpu_init();  // this may run before the compiler's own constructor does it
    return __builtin_cpu_supports("avx2") != 0;
}

// Asked once, when the library is loaded; whoever streams before that does it by SSE2.
const bool g_avx2 = has_avx2();

}  // namespace

void copy_detail::stream(std::byte* slot, const std::byte* buf, std::size_t bytes, bool wide) noexcept {
    const Lines lines = whole_lines(slot, bytes);
    if (lines.count == 0) return copy_to_slot(slot, buf, bytes);
    copy_to_slot(slot, buf, lines.head);
    if (wide && g_avx2)
        stream_avx2(slot + lines.head, buf + lines.head, lines.count);
    else
        stream_sse2(slot + lines.head, buf + lines.head, lines.count);
    const std::size_t done = lines.head + lines.count * kCacheLine;
    copy_to_slot(slot + done, buf + done, bytes - done);
}

void stream_to_slot(std::byte* slot, const void* buf, std::size_t bytes) noexcept {
    copy_detail::stream(slot, static_cast<const std::byte*>(buf), bytes, true);
}

}  // namespace bounce

#else

namespace bounce {

void copy_detail::stream(std::byte* slot, const std::byte* buf, std::size_t bytes, bool) noexcept {
    copy_to_slot(slot, buf, bytes);
}

void stream_to_slot(std::byte* slot, const void* buf, std::size_t bytes) noexcept {
    copy_to_slot(slot, buf, bytes);
}

}  // namespace bounce

#endif
