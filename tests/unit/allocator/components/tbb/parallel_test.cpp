// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "allocator/components/tbb/parallel.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace bounce::tbb_component {
namespace {

/// What the work was asked to do. The addresses are never touched.
struct Log {
    std::mutex lock;
    std::map<std::uintptr_t, std::size_t> pieces;
    std::set<std::thread::id> threads;
    std::uintptr_t fail_at = 0;

    static int work(void* context, std::byte* begin, std::size_t bytes) noexcept {
        auto& log = *static_cast<Log*>(context);
        const std::lock_guard guard(log.lock);
        const auto address = reinterpret_cast<std::uintptr_t>(begin);
        log.pieces[address] += bytes;
        log.threads.insert(std::this_thread::get_id());
        return address == log.fail_at ? ENOMEM : 0;
    }
};

constexpr std::uintptr_t kStart = std::uintptr_t{64} * kPieceBytes;

int run_at(Log& log, std::uintptr_t begin, std::size_t bytes, std::uint32_t threads, int node = -1) {
    return run({reinterpret_cast<std::byte*>(begin), bytes, node, threads, Log::work, &log});
}

void expect_cover(const Log& log, std::uintptr_t begin, std::size_t bytes) {
    std::uintptr_t at = begin;
    for (const auto& [piece, length] : log.pieces) {
        EXPECT_EQ(piece, at);
        EXPECT_GT(length, 0u);
        EXPECT_TRUE(piece == begin || piece % kPieceBytes == 0) << "a piece begins inside of a hugepage";
        EXPECT_LE(piece % kPieceBytes + length, kPieceBytes);
        at += length;
    }
    EXPECT_EQ(at, begin + bytes);
}

TEST(Parallel, EveryByteIsInExactlyOnePiece) {
    for (const std::uint32_t threads : {0u, 1u, 2u, 1000u}) {
        for (const std::uintptr_t head : {std::uintptr_t{0}, std::uintptr_t{1}, kPieceBytes - 1}) {
            for (const std::size_t bytes : {std::size_t{1}, std::size_t{2}, kPieceBytes - 1, kPieceBytes,
                                            kPieceBytes + 1, 5 * kPieceBytes, 5 * kPieceBytes + 1}) {
                Log log;
                EXPECT_EQ(run_at(log, kStart + head, bytes, threads), 0);
                expect_cover(log, kStart + head, bytes);
            }
        }
    }
}

TEST(Parallel, OneThreadIsTheCallersOwnInOrder) {
    Log log;
    log.fail_at = kStart + 2 * kPieceBytes;
    EXPECT_EQ(run_at(log, kStart, 5 * kPieceBytes, 1), ENOMEM);
    EXPECT_EQ(log.pieces.size(), 3u) << "what follows an error is left out";
    EXPECT_EQ(log.threads, std::set{std::this_thread::get_id()});
}

TEST(Parallel, AnErrorOfAnyPieceIsTheResult) {
    for (std::size_t piece = 0; piece < 8; ++piece) {
        Log log;
        log.fail_at = kStart + piece * kPieceBytes;
        EXPECT_EQ(run_at(log, kStart, 8 * kPieceBytes, 0), ENOMEM);
    }
}

TEST(Parallel, AnyNodeWillDo) {
    for (const int node : {-1, 0, 1, 4000}) {
        Log log;
        EXPECT_EQ(run_at(log, kStart, 8 * kPieceBytes, 0, node), 0);
        expect_cover(log, kStart, 8 * kPieceBytes);
    }
}

TEST(Parallel, ManyCallersAtOnce) {
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) {
        callers.emplace_back([] {
            for (int round = 0; round < 50; ++round) {
                Log log;
                EXPECT_EQ(run_at(log, kStart, 16 * kPieceBytes, 0, 0), 0);
                expect_cover(log, kStart, 16 * kPieceBytes);
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace bounce::tbb_component
