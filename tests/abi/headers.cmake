# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# cmake -DINCLUDE=api/include -DSCRATCH=dir -DCOMPILERS=a;b -P headers.cmake
# The public headers compile by themselves, in every language they are for, with every compiler there is here.
cmake_minimum_required(VERSION 3.25)
file(MAKE_DIRECTORY ${SCRATCH})
set(c_headers bounce quarantine streaming tbb)
foreach(header ${c_headers})
  file(WRITE ${SCRATCH}/${header}.c "#include <bounce/${header}.h>\nint main(void) { return bounce_version() == 0; }\n")
  file(WRITE ${SCRATCH}/${header}.cpp "#include <bounce/${header}.h>\nint main() { return bounce_version() == 0; }\n")
endforeach()
# Every member of every class, so that what nobody calls is compiled too.
file(WRITE ${SCRATCH}/wrapper.cpp "#include <bounce/bounce.hpp>
#include <bounce/quarantine.hpp>
#include <bounce/streaming.hpp>
template class bounce::Result<int>;
template class bounce::Block<bounce_coherent_free>;
template class bounce::Block<bounce_buffer_free>;
int main() { return bounce_version() == 0; }\n")
set(warnings -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wundef)

set(ran 0)
function(compile)
  cmake_parse_arguments(arg "" "" "COMMAND" ${ARGN})
  execute_process(COMMAND ${arg_COMMAND} ${warnings} -I${INCLUDE} -fsyntax-only RESULT_VARIABLE status
                  ERROR_VARIABLE errors)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${arg_COMMAND}\n${errors}")
  endif()
  math(EXPR ran "${ran} + 1")
  set(ran ${ran} PARENT_SCOPE)
endfunction()

foreach(pair ${COMPILERS})
  string(REPLACE "," ";" pair ${pair})
  list(GET pair 0 c)
  list(GET pair 1 cxx)
  find_program(c_${c} ${c})
  find_program(cxx_${cxx} ${cxx})
  if(c_${c})
    foreach(standard c99 c11 gnu17)
      foreach(header ${c_headers})
        compile(COMMAND ${c_${c}} -std=${standard} ${SCRATCH}/${header}.c)
      endforeach()
    endforeach()
  endif()
  if(cxx_${cxx})
    foreach(standard c++11 c++17 c++20)
      foreach(header ${c_headers})
        compile(COMMAND ${cxx_${cxx}} -std=${standard} -Wold-style-cast ${SCRATCH}/${header}.cpp)
      endforeach()
    endforeach()
    compile(COMMAND ${cxx_${cxx}} -std=c++20 -Wold-style-cast ${SCRATCH}/wrapper.cpp)
    compile(COMMAND ${cxx_${cxx}} -std=c++20 -Wold-style-cast -fno-exceptions -fno-rtti ${SCRATCH}/wrapper.cpp)
  endif()
endforeach()
if(ran EQUAL 0)
  message(FATAL_ERROR "no compiler was found among ${COMPILERS}")
endif()
message(STATUS "${ran} compilations")
