#include "endpoint.h"

#include <gtest/gtest.h>

namespace ferry::proxy {
namespace {

TEST(Endpoint, HostAndPort) {
  const auto endpoint = Endpoint::parse("example.org:8080");
  ASSERT_TRUE(endpoint);
  EXPECT_FALSE(endpoint->is_unix());
  EXPECT_EQ(endpoint->host, "example.org");
  EXPECT_EQ(endpoint->port, 8080);
}

TEST(Endpoint, AnEmptyHostMeansAllInterfaces) {
  const auto endpoint = Endpoint::parse(":0");
  ASSERT_TRUE(endpoint);
  EXPECT_EQ(endpoint->host, "");
  EXPECT_EQ(endpoint->port, 0);
}

TEST(Endpoint, BracketsHoldIPv6) {
  const auto endpoint = Endpoint::parse("[fe80::1%2]:65535");
  ASSERT_TRUE(endpoint);
  EXPECT_EQ(endpoint->host, "fe80::1%2");
  EXPECT_EQ(endpoint->port, 65535);
}

TEST(Endpoint, UnixPathsMayHoldColons) {
  const auto endpoint = Endpoint::parse("unix:/run/a:b");
  ASSERT_TRUE(endpoint);
  EXPECT_TRUE(endpoint->is_unix());
  EXPECT_EQ(endpoint->path, "/run/a:b");
  EXPECT_TRUE(Endpoint::parse("unix:" + std::string(107, 'p')));
}

TEST(Endpoint, DatagramsHaveAPrefix) {
  const auto endpoint = Endpoint::parse("udp:[::1]:53");
  ASSERT_TRUE(endpoint);
  EXPECT_TRUE(endpoint->is_udp);
  EXPECT_EQ(endpoint->host, "::1");
  EXPECT_EQ(endpoint->port, 53);
  EXPECT_TRUE(Endpoint::parse("udp::53")->is_udp);
  // A host may be called so.
  EXPECT_FALSE(Endpoint::parse("udp:53")->is_udp);
}

TEST(Endpoint, WhatIsNoneIsRefused) {
  for (std::string_view text :
       {"", ":", "host", "host:", "host:x", "host:80x", "host:-1", "host:+1", "host: 1",
        "host:65536", "host:99999999999", "::1:80", "[::1]", "[::1:80", "unix:"}) {
    EXPECT_FALSE(Endpoint::parse(text)) << text;
  }
  EXPECT_FALSE(Endpoint::parse("unix:" + std::string(108, 'p')));
}

}  // namespace
}  // namespace ferry::proxy
