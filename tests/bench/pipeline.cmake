# pipeline_bench: the real pipeline on mbufs (scripts/bench).
if(NOT benchmark_FOUND OR NOT SLUICE_DPDK)
  return()
endif()
find_package(CLI11 REQUIRED)
add_executable(pipeline_bench
  pipeline_gateway.cpp pipeline_main.cpp pipeline_plot.cpp pipeline_results.cpp pipeline_scene.cpp
  pipeline_targets.cpp)
target_link_libraries(pipeline_bench PRIVATE sluice_options sluice_dpdk CLI11::CLI11 benchmark::benchmark)
add_test(NAME functional.pipeline-bench
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/pipeline_bench_test.sh $<TARGET_FILE:pipeline_bench>)
set_tests_properties(functional.pipeline-bench PROPERTIES LABELS functional TIMEOUT 120)
