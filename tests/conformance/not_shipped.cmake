# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
# cmake -DNM=nm -DLIBRARY=libbounce.a -DMUTATED=libbounce_mutated.a -P not_shipped.cmake
# The library has no trace of the mutations. That the other copy has some says that they would be seen.
cmake_minimum_required(VERSION 3.25)
foreach(library LIBRARY MUTATED)
  execute_process(COMMAND ${NM} ${${library}} OUTPUT_VARIABLE symbols ERROR_QUIET RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${NM} told nothing about ${${library}}")
  endif()
  string(REGEX MATCHALL "[^\n]*current_mutation[^\n]*" ${library}_found "${symbols}")
endforeach()
list(LENGTH LIBRARY_found shipped)
list(LENGTH MUTATED_found mutated)
message(STATUS "${shipped} mentions in ${LIBRARY}, ${mutated} in ${MUTATED}")
if(NOT shipped EQUAL 0 OR mutated EQUAL 0)
  message(FATAL_ERROR "expected 0 in the first and some in the second")
endif()
