# What goes back to the cluster: the agent's part that writes.
add_library(sluice_status_sync STATIC
  ${CMAKE_CURRENT_LIST_DIR}/status_jobs.cpp ${CMAKE_CURRENT_LIST_DIR}/status_sync.cpp)
target_link_libraries(sluice_status_sync PUBLIC sluice_options sluice_base sluice_proto
  sluice_kubernetes sluice_store
  PRIVATE sluice_cli_common sluice_config spdlog::spdlog)
target_compile_options(sluice_status_sync PRIVATE
  $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>)
