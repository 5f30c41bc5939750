// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// What nearly every test includes, and takes longest to read. Each test includes what it uses all the same.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>
