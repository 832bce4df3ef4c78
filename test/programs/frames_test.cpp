#include "framed_protocol/frames.h"

#include <gtest/gtest.h>

#include <string>

namespace {

std::string encode(const Frame& frame) {
  const auto header = encode_header(frame);
  return std::string(header.begin(), header.end()) + std::string(frame.payload.text());
}

TEST(Frames, WhatWasEncodedIsDecoded) {
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{300}, Frame::kLongest}) {
    const std::string payload(size, 'p');
    const std::string wire = encode({Frame::text, payload}) + "the next one";
    const Decoded decoded = decode(wire);
    EXPECT_EQ(decoded.size, Frame::kHeader + size);
    EXPECT_EQ(decoded.frame.kind, Frame::text);
    EXPECT_EQ(decoded.frame.payload.text(), payload);
  }
}

TEST(Frames, ABeginningIsNoFrameYet) {
  const std::string wire = encode({Frame::text, "payload"});
  for (std::size_t size = 0; size < wire.size(); ++size) {
    const Decoded decoded = decode(ferry::BytesView(wire).first(size));
    EXPECT_EQ(decoded.size, 0u);
    EXPECT_FALSE(decoded.too_long);
  }
}

TEST(Frames, TooLongIsKnownFromTheHeader) {
  const Decoded decoded = decode(std::string_view("\x00\x01\x00\x01\x01", 5));
  EXPECT_TRUE(decoded.too_long);
  EXPECT_EQ(decoded.size, 0u);
  EXPECT_TRUE(decode(std::string_view("\xff\xff\xff\xff\x01", 5)).too_long);
}

}  // namespace
