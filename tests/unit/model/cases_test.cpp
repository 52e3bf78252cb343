// Each cases/NAME.yaml holds manifests, and cases/NAME.txt what must come of them. A new case is a
// new pair of files. With SLUICE_UPDATE_CASES set the .txt are written instead: read them before
// committing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "config/yaml_tree.h"
#include "world.h"

namespace sluice {
namespace {

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_CASES_DIR)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void expect_text(const std::string& path, const std::string& text) {
  if (std::getenv("SLUICE_UPDATE_CASES") != nullptr) {
    std::ofstream(path) << text;
    GTEST_SKIP() << "written: " << path;
  }
  const auto expected = read_text_file(path);
  ASSERT_TRUE(expected) << expected.error();
  EXPECT_EQ(text, *expected);
}

class Case : public testing::TestWithParam<std::string> {};

TEST_P(Case, ComesToWhatIsExpected) {
  const std::string base = std::string(SLUICE_CASES_DIR) + "/" + GetParam();
  const auto yaml = read_text_file(base + ".yaml");
  ASSERT_TRUE(yaml) << yaml.error();
  World world;
  world.apply(*yaml);
  world.step();
  expect_text(base + ".txt", world.text());
  world.step();
  EXPECT_TRUE(world.last.empty()) << "a second look at the same objects changes something";
  EXPECT_TRUE(world.allocation.writes.empty());
}

std::string test_name(const testing::TestParamInfo<std::string>& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, Case, testing::ValuesIn(cases()), test_name);

// config/examples/NAME, and what must come of it in cases/NAME.txt.
class Example : public testing::TestWithParam<const char*> {};

TEST_P(Example, ComesToWhatIsExpected) {
  World world;
  std::vector<std::string> files;
  const std::string folder = std::string(SLUICE_CONFIG_DIR) + "/examples/" + GetParam();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) world.apply(*read_text_file(file));
  world.step();
  expect_text(std::string(SLUICE_CASES_DIR) + "/" + GetParam() + ".txt", world.text());
}

INSTANTIATE_TEST_SUITE_P(All, Example,
                         testing::Values("address-pools", "forwarding-modes", "hello-world"),
                         [](const auto& param) {
                           return test_name({param.param, param.index});
                         });

}  // namespace
}  // namespace sluice
