// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
// Only there to be compiled: precompiled.hpp comes with it.
int main() {}
