# The forwarding state and its builder: no DPDK, no messages.
add_library(sluice_state STATIC
  ${CMAKE_CURRENT_LIST_DIR}/state.cpp
  ${CMAKE_CURRENT_LIST_DIR}/state_builder.cpp
  ${CMAKE_CURRENT_LIST_DIR}/state_check.cpp
  ${CMAKE_CURRENT_LIST_DIR}/state_maglev.cpp)
target_link_libraries(sluice_state PUBLIC sluice_table sluice_base)
