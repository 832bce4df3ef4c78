// A copy of Asio's code, as a program has that compiles it apart.
#include <asio/impl/src.hpp>
