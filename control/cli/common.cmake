# What the command line and the daemon both use: columns, ages, and what new objects are given.
add_library(sluice_cli_common STATIC age.cpp creation.cpp table.cpp)
target_link_libraries(sluice_cli_common PUBLIC sluice_options sluice_proto sluice_model Boost::headers)
target_compile_definitions(sluice_cli_common PUBLIC SLUICE_VERSION="${PROJECT_VERSION}")
