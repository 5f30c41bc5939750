// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "tools/common/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tools/common/failure.hpp"
#include "tools/common/units.hpp"

namespace bounce::tools {
namespace {

std::size_t terminal_columns() {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string bar(double fraction, std::size_t width) {
    const auto full = static_cast<std::size_t>(fraction * static_cast<double>(width));
    return text("[", std::string(full, '#'), std::string(width - full, '.'), "]");
}

}  // namespace

Progress::Progress(std::string label, std::optional<std::uint64_t> total, bool wanted, Unit unit)
    : label_(std::move(label)),
      total_(total),
      unit_(unit),
      enabled_(wanted && ::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      next_(start_ + std::chrono::milliseconds(500)) {}

Progress::~Progress() {
    clear();
}

void Progress::update(std::uint64_t done) {
    if (!enabled_) return;
    const auto now = Clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    draw(done, std::chrono::duration<double>(now - start_).count());
}

std::string Progress::amount(std::uint64_t done, double seconds) const {
    if (unit_ != Unit::kBytes)
        return text(done, total_ ? text(" of ", *total_) : "", unit_ == Unit::kRounds ? " rounds" : " packets");
    return text(format_bytes(done), total_ ? text(" of ", format_bytes(*total_)) : "", "  ",
                format_fixed(mib_per_second(done, seconds), 0), " MiB/s");
}

void Progress::draw(std::uint64_t done, double seconds) {
    std::string line = text(label_, "  ", amount(done, seconds));
    if (total_ && *total_ > 0) {
        const double fraction = std::min(1.0, static_cast<double>(done) / static_cast<double>(*total_));
        const double left = fraction > 0 ? seconds * (1 - fraction) / fraction : 0;
        const std::string figures = text(" ", format_fixed(100 * fraction, 0), " %  ", amount(done, seconds), "  ",
                                         format_fixed(left, 0), " s left");
        const std::size_t columns = terminal_columns();
        const std::size_t taken = label_.size() + figures.size() + 6;
        const std::size_t width = columns > taken + 10 ? std::min<std::size_t>(columns - taken, 40) : 0;
        line = width > 0 ? text(label_, "  ", bar(fraction, width), figures) : text(label_, figures);
    }
    std::fprintf(stderr, "\r%s\033[K", line.c_str());
    std::fflush(stderr);
    shown_ = true;
}

void Progress::clear() {
    if (!shown_) return;
    std::fprintf(stderr, "\r\033[K");
    std::fflush(stderr);
    shown_ = false;
}

}  // namespace bounce::tools
