# pipeline_bench: the real pipeline on mbufs (scripts/bench).
if(NOT benchmark_FOUND OR NOT SLUICE_DPDK)
  return()
endif()
find_package(CLI11 REQUIRED)
add_executable(pipeline_bench
  pipeline_gateway.cpp pipeline_main.cpp pipeline_results.cpp pipeline_scene.cpp)
target_link_libraries(pipeline_bench PRIVATE sluice_options sluice_dpdk CLI11::CLI11 benchmark::benchmark)
