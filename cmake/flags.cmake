# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# Compiler flags for everything of ours, carried by the interface target bounce_flags (never installed).
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
add_library(bounce_flags INTERFACE)
target_compile_features(bounce_flags INTERFACE cxx_std_20 c_std_11)
target_compile_options(
  bounce_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wundef
                         $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual>
                         $<$<BOOL:${BOUNCE_WERROR}>:-Werror>)
if(BOUNCE_SANITIZE)
  target_compile_options(bounce_flags INTERFACE -fsanitize=${BOUNCE_SANITIZE} -fno-omit-frame-pointer
                                                -fno-sanitize-recover=all)
  target_link_options(bounce_flags INTERFACE -fsanitize=${BOUNCE_SANITIZE})
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_EXTENSIONS OFF)
find_package(Threads REQUIRED)
# allocator/base/probes.hpp looks for it by itself.
include(CheckIncludeFileCXX)
check_include_file_cxx(sys/sdt.h BOUNCE_HAS_SDT)
if(NOT BOUNCE_HAS_SDT)
  message(STATUS "No <sys/sdt.h> (systemtap-sdt-dev): the library has no USDT probes")
endif()
