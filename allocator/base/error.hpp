// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Errors as values. An Error is an errno code; the sentence that goes with it is kept for the thread and read through
// last_error(). fail() stores only the format and its numbers and costs a few nanoseconds: it is fit for the hot path.
#pragma once

#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace bounce {

class [[nodiscard]] Error {
public:
    constexpr explicit Error(int code) noexcept : code_(code) {}
    /// Positive errno value.
    [[nodiscard]] constexpr int code() const noexcept { return code_; }

private:
    int code_;
};

/// Records a failure of this thread. `format` must be a string literal whose conversions are %llu, %llx or %lld only,
/// at most four; it is expanded when somebody reads it. Never allocates but for the first failure of a thread.
Error fail(int code, const char* format, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
           std::uint64_t d = 0) noexcept;

/// The same with any conversions, expanded at once: for cold paths that name strings.
[[gnu::format(printf, 2, 3)]] Error fail_text(int code, const char* format, ...) noexcept;

/// The last failure of this thread as a sentence; "" when there was none.
const char* last_error() noexcept;

/// What a code means in this library.
const char* error_text(int code) noexcept;

/// A T or an Error. T must be nothrow movable.
template <class T>
class [[nodiscard]] Result {
    static_assert(std::is_nothrow_move_constructible_v<T>);

public:
    Result(Error error) noexcept : code_(error.code()) {}                       // NOLINT(google-explicit-constructor)
    Result(T value) noexcept : code_(0) { new (&value_) T(std::move(value)); }  // NOLINT(google-explicit-constructor)
    Result(Result&& other) noexcept : code_(other.code_) {
        if (code_ == 0) new (&value_) T(std::move(other.value_));
    }
    Result& operator=(Result&&) = delete;
    ~Result() {
        if (code_ == 0) value_.~T();
    }
    explicit operator bool() const noexcept { return code_ == 0; }
    [[nodiscard]] Error error() const noexcept { return Error(code_); }
    /// 0 or a positive errno value.
    [[nodiscard]] int code() const noexcept { return code_; }
    T& operator*() noexcept { return value_; }
    const T& operator*() const noexcept { return value_; }
    T* operator->() noexcept { return &value_; }
    const T* operator->() const noexcept { return &value_; }

private:
    int code_;
    union {
        T value_;
    };
};

template <>
class [[nodiscard]] Result<void> {
public:
    constexpr Result() noexcept = default;
    constexpr Result(Error error) noexcept : code_(error.code()) {}  // NOLINT(google-explicit-constructor)
    constexpr explicit operator bool() const noexcept { return code_ == 0; }
    [[nodiscard]] constexpr Error error() const noexcept { return Error(code_); }
    [[nodiscard]] constexpr int code() const noexcept { return code_; }

private:
    int code_ = 0;
};

}  // namespace bounce
