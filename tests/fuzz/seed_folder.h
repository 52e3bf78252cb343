// Where the seeds' generators write.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace sluice::fuzz {

class Folder {
 public:
  explicit Folder(std::filesystem::path path) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace sluice::fuzz
