# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# The static and the shared library, and how they are installed: CMake package, pkg-config, public headers.
include(CMakePackageConfigHelpers)

add_library(bounce_static STATIC $<TARGET_OBJECTS:bounce_objects>)
add_library(bounce_shared SHARED $<TARGET_OBJECTS:bounce_objects>)
add_library(bounce::static ALIAS bounce_static)
add_library(bounce::shared ALIAS bounce_shared)
set_target_properties(bounce_static PROPERTIES OUTPUT_NAME bounce EXPORT_NAME static)
set_target_properties(
  bounce_shared
  PROPERTIES OUTPUT_NAME bounce
             EXPORT_NAME shared
             VERSION ${PROJECT_VERSION}
             SOVERSION ${PROJECT_VERSION_MAJOR}
             LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/exports.map)
# Only bounce_* leaves the shared library; libstdc++'s inline symbols stay inside. (clang leaves the sanitizers' runtime to
# the program, so that a sanitized library has undefined symbols.)
# Never unloaded: a thread that outlives a dlclose() still has the destructor of its last error to run.
target_link_options(bounce_shared PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map
                                          -Wl,-z,nodelete)
if(NOT BOUNCE_SANITIZE)
  target_link_options(bounce_shared PRIVATE -Wl,-z,defs)
endif()

foreach(library bounce_static bounce_shared)
  target_include_directories(${library} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/api/include>
                                               $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${library} PRIVATE Threads::Threads $<BUILD_INTERFACE:bounce_flags>)
  if(BOUNCE_HWLOC)
    target_link_libraries(${library} PRIVATE PkgConfig::hwloc)
  endif()
endforeach()

install(TARGETS bounce_static bounce_shared EXPORT bounce_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
                                                                  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/api/include/bounce DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        PATTERN tbb.h EXCLUDE # these come with their libraries
        PATTERN jemalloc.h* EXCLUDE)
install(EXPORT bounce_targets NAMESPACE bounce:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/bounce)
configure_package_config_file(cmake/bounce-config.cmake.in ${PROJECT_BINARY_DIR}/bounce-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/bounce)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/bounce-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/bounce-config.cmake ${PROJECT_BINARY_DIR}/bounce-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/bounce)
# What a static libbounce needs. Not "Requires.private: hwloc": that would ask for what a static hwloc needs, which
# Debian does not have.
list(JOIN hwloc_LDFLAGS " " BOUNCE_PC_LIBS_PRIVATE)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE
           BOUNCE_PC_PREFIX)
configure_file(cmake/bounce.pc.in ${PROJECT_BINARY_DIR}/bounce.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/bounce.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
