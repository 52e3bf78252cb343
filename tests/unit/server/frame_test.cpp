#include "proto/frame.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sluice {
namespace {

std::string framed(const std::string& message) {
  std::string out;
  EXPECT_TRUE(append_frame(out, message).ok());
  return out;
}

TEST(Frame, LengthIsBigEndian) {
  EXPECT_EQ(framed(std::string(258, 'x')).substr(0, 4), std::string("\0\0\1\2", 4));
  EXPECT_EQ(framed(""), std::string(4, '\0'));
}

TEST(Frame, DecodesPiecesOfAnySize) {
  std::mt19937 random(1);
  std::vector<std::string> messages;
  std::string stream;
  for (std::size_t i = 0; i < 300; ++i) {
    messages.emplace_back(random() % 700, static_cast<char>('a' + i % 26));
    stream += framed(messages.back());
  }
  FrameDecoder decoder;
  std::vector<std::string> got;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t piece = std::min<std::size_t>(1 + random() % 900, stream.size() - at);
    decoder.append(std::string_view(stream).substr(at, piece));
    at += piece;
    for (;;) {
      auto frame = decoder.next();
      ASSERT_TRUE(frame.ok());
      if (!*frame) break;
      got.emplace_back(**frame);
    }
  }
  EXPECT_EQ(got, messages);
  EXPECT_EQ(decoder.pending(), 0u);
}

TEST(Frame, TellsACutMessage) {
  FrameDecoder decoder;
  decoder.append(framed("hello").substr(0, 7));
  EXPECT_FALSE(decoder.next()->has_value());
  EXPECT_EQ(decoder.pending(), 7u);
}

TEST(Frame, RefusesWhatIsLongerThanTheLimitBeforeItComes) {
  FrameDecoder decoder(16);
  decoder.append(framed(std::string(16, 'x')));
  EXPECT_EQ(**decoder.next(), std::string(16, 'x'));
  decoder.append(std::string("\0\0\0\x11", 4));
  EXPECT_FALSE(decoder.next().ok());
  decoder.append(framed("later"));
  EXPECT_FALSE(decoder.next().ok()) << "where the next frame begins is not known any more";
}

TEST(Frame, RefusesToSendWhatNobodyWouldTake) {
  std::string out = "kept";
  EXPECT_FALSE(append_frame(out, std::string(kMaxFrame + 1, 'x')).ok());
  EXPECT_EQ(out, "kept");
}

}  // namespace
}  // namespace sluice
