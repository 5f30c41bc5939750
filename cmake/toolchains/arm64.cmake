# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Cross build for arm64; programs run under qemu-user. Static, so that no foreign root is needed.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# Without warnings: googletest names getaddrinfo, which glibc does not like in a static program; no test calls it.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -Wl,--no-warnings")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
