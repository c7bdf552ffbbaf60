# Removes what the last "cmake --install" of this build wrote.
if(NOT EXISTS "${MANIFEST}")
  message(FATAL_ERROR "Nothing was installed from here: ${MANIFEST} does not exist")
endif()
file(STRINGS "${MANIFEST}" FILES)
foreach(FILE IN LISTS FILES)
  message(STATUS "Removing ${FILE}")
  file(REMOVE "${FILE}")
endforeach()
