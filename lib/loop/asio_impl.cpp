// Asio, compiled once.
#include <asio/impl/src.hpp>
