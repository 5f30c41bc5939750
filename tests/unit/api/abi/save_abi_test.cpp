// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#include "bounce/save.h"

#include <vector>

#include "tests/unit/api/abi/abi_fixture.hpp"

namespace bounce {
namespace {

using SaveAbi = AbiTest;

TEST_F(SaveAbi, NullArguments) {
    std::size_t bytes = 1;
    char form[16];
    bounce_restore* restore = nullptr;
    bounce_mapping mapping;
    bounce_block block;
    expect_error(bounce_pool_save(nullptr, form, 16, &bytes), EINVAL, "pool is NULL");
    EXPECT_EQ(bytes, 0u);
    expect_error(bounce_pool_save(pool_, form, 16, nullptr), EINVAL, "bytes is NULL");
    expect_error(bounce_pool_save(pool_, form, 0, &bytes), EINVAL, "room is 0");
    expect_error(bounce_pool_save(pool_, form, 16, &bytes), E2BIG, "16");
    expect_error(bounce_pool_restore(nullptr, form, 16, &restore), EINVAL, "pool is NULL");
    expect_error(bounce_pool_restore(pool_, nullptr, 16, &restore), EINVAL, "form is NULL");
    expect_error(bounce_pool_restore(pool_, form, 16, nullptr), EINVAL, "restore is NULL");
    expect_error(bounce_pool_restore(pool_, form, 16, &restore), EINVAL, "16 bytes");
    EXPECT_EQ(restore, nullptr);
    expect_error(bounce_restore_visit(nullptr, nullptr, nullptr), EINVAL, "restore is NULL");
    expect_error(bounce_restore_claim(nullptr, device_, 0, form, 0, &mapping), EINVAL, "restore is NULL");
    expect_error(bounce_restore_claim(nullptr, device_, 0, form, 0, nullptr), EINVAL, "mapping is NULL");
    expect_error(bounce_restore_claim_block(nullptr, device_, 0, &block), EINVAL, "restore is NULL");
    expect_error(bounce_restore_claim_block(nullptr, device_, 0, nullptr), EINVAL, "block is NULL");
    expect_error(bounce_restore_finish(nullptr), EINVAL, "restore is NULL");
    expect_error(bounce_restore_release(nullptr, nullptr), EINVAL, "restore is NULL");
    EXPECT_EQ(bounce_restore_destroy(nullptr), 0);
}

TEST_F(SaveAbi, APoolWithARestoreIsInUse) {
    std::size_t bytes = 0;
    ASSERT_EQ(bounce_pool_save(pool_, nullptr, 0, &bytes), 0) << bounce_last_error();
    std::vector<char> form(bytes);
    ASSERT_EQ(bounce_pool_save(pool_, form.data(), form.size(), &bytes), 0) << bounce_last_error();
    // Of an empty pool; it speaks of a region that has to be handed in.
    std::vector<char> memory((4u << 20) + 4096);
    auto options = pool_options();
    options.region.hva = memory.data() + (4096 - reinterpret_cast<std::uintptr_t>(memory.data()) % 4096) % 4096;
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    bounce_restore* restore = nullptr;
    ASSERT_EQ(bounce_pool_restore(pool, form.data(), bytes, &restore), 0) << bounce_last_error();
    expect_error(bounce_pool_destroy(pool), EBUSY);
    bounce_mapping mapping;
    bounce_block block;
    expect_error(bounce_restore_claim(restore, nullptr, 0, form.data(), 0, &mapping), EINVAL, "device is NULL");
    expect_error(bounce_restore_claim_block(restore, nullptr, 0, &block), EINVAL, "device is NULL");
    expect_error(bounce_restore_claim(restore, device_, 0, form.data(), 0, &mapping), EXDEV, "another pool");
    expect_error(bounce_restore_visit(restore, nullptr, nullptr), EINVAL, "visit is NULL");
    expect_error(bounce_restore_release(restore, nullptr), EBUSY, "finish");
    EXPECT_EQ(bounce_restore_finish(restore), 0);
    EXPECT_EQ(bounce_restore_release(restore, nullptr), 0);
    EXPECT_EQ(bounce_restore_destroy(restore), 0);
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

int no_share(void*, uint64_t, void*, uint64_t) {
    return 0;
}

TEST_F(SaveAbi, NotWithShareHooks) {
    auto options = pool_options();
    options.share = options.unshare = no_share;
    bounce_pool* pool = nullptr;
    ASSERT_EQ(bounce_pool_create(&options, &pool), 0) << bounce_last_error();
    std::size_t bytes = 0;
    expect_error(bounce_pool_save(pool, nullptr, 0, &bytes), ENOTSUP, "share hooks");
    EXPECT_EQ(bounce_pool_destroy(pool), 0);
}

}  // namespace
}  // namespace bounce
