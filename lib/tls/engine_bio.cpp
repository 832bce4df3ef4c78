#include "engine_bio.h"

#include "engine.h"

#include <new>

namespace ferry {
namespace {

using BioMethodPtr = OpensslPtr<BIO_METHOD, &BIO_meth_free>;

TlsEngine& engine_of(BIO* bio) {
  return *static_cast<TlsEngine*>(BIO_get_data(bio));
}

int read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  std::size_t count = static_cast<std::size_t>(size);
  engine_of(bio).take_input(into, count);
  if (count > 0) return static_cast<int>(count);
  BIO_set_retry_read(bio);
  return -1;
}

int write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  try {
    engine_of(bio).output().append(
        BytesView(reinterpret_cast<const std::byte*>(data), static_cast<std::size_t>(size)));
  } catch (const std::bad_alloc&) {
    engine_of(bio).no_memory();
    return -1;  // no exception may pass through OpenSSL
  }
  return size;
}

long control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BioMethodPtr make_method() {
  BioMethodPtr method(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ferry"));
  if (!method) throw std::bad_alloc();  // the next one tries again
  BIO_meth_set_read(method.get(), read);
  BIO_meth_set_write(method.get(), write);
  BIO_meth_set_ctrl(method.get(), control);
  return method;
}

}  // namespace

BIO* make_engine_bio(TlsEngine& engine) {
  static const BioMethodPtr method = make_method();
  BIO* const bio = BIO_new(method.get());
  if (bio) {
    BIO_set_data(bio, &engine);
    BIO_set_init(bio, 1);
  }
  return bio;
}

}  // namespace ferry
