// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Which of many address ranges overlaps another one. A treap over nodes that belong to the caller, ordered by where
// they begin; each knows how far anything below it reaches. One thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bounce {

/// [begin, end), not empty.
struct Interval {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t reach = 0;  // the largest end in this subtree
    std::uint32_t priority = 0;
    Interval* left = nullptr;
    Interval* right = nullptr;
};

class IntervalTree {
public:
    void insert(Interval& node) noexcept {
        node.left = node.right = nullptr;
        node.priority = next_priority();
        Interval* before = nullptr;
        Interval* after = nullptr;
        split(root_, node, before, after);
        update(node);
        root_ = merge(merge(before, &node), after);
    }
    /// One that is in it.
    void remove(Interval& node) noexcept { root_ = removed(root_, node); }

    /// visit(node) for those that overlap [begin, end), until it returns false.
    template <class Visit>
    void overlapping(std::uint64_t begin, std::uint64_t end, Visit&& visit) const noexcept {
        static_cast<void>(walk(root_, begin, end, visit));
    }

private:
    static bool before(const Interval& a, const Interval& b) noexcept {
        return a.begin != b.begin ? a.begin < b.begin : &a < &b;
    }
    static void update(Interval& node) noexcept {
        node.reach = node.end;
        if (node.left != nullptr) node.reach = std::max(node.reach, node.left->reach);
        if (node.right != nullptr) node.reach = std::max(node.reach, node.right->reach);
    }
    static void split(Interval* tree, const Interval& at, Interval*& lower, Interval*& upper) noexcept {
        if (tree == nullptr) {
            lower = upper = nullptr;
        } else if (before(*tree, at)) {
            split(tree->right, at, tree->right, upper);
            lower = tree;
            update(*tree);
        } else {
            split(tree->left, at, lower, tree->left);
            upper = tree;
            update(*tree);
        }
    }
    static Interval* merge(Interval* lower, Interval* upper) noexcept {
        if (lower == nullptr || upper == nullptr) return lower == nullptr ? upper : lower;
        if (lower->priority > upper->priority) {
            lower->right = merge(lower->right, upper);
            update(*lower);
            return lower;
        }
        upper->left = merge(lower, upper->left);
        update(*upper);
        return upper;
    }
    static Interval* removed(Interval* tree, Interval& node) noexcept {
        if (tree == nullptr) return nullptr;
        if (tree == &node) return merge(node.left, node.right);
        Interval*& side = before(node, *tree) ? tree->left : tree->right;
        side = removed(side, node);
        update(*tree);
        return tree;
    }
    template <class Visit>
    static bool walk(Interval* tree, std::uint64_t begin, std::uint64_t end, Visit&& visit) noexcept {
        if (tree == nullptr || tree->reach <= begin) return true;
        if (!walk(tree->left, begin, end, visit)) return false;
        if (tree->begin >= end) return true;
        if (tree->end > begin && !visit(*tree)) return false;
        return walk(tree->right, begin, end, visit);
    }
    std::uint32_t next_priority() noexcept {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 17;
        return state_ ^= state_ << 5;
    }

    Interval* root_ = nullptr;
    std::uint32_t state_ = 0x9e37'79b9;
};

}  // namespace bounce
