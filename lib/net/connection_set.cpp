#include "connection_set.h"

#include "stream_transport.h"

#include <ferry/protocol_layer.h>

namespace ferry {

void close_all(const ConnectionSet& connections) {
  for (StreamTransport* client = connections.first(); client; client = client->next_client()) {
    const std::shared_ptr<Protocol> protocol = client->get_protocol();
    // A layer that has not begun has nothing to say goodbye with.
    if (ProtocolLayer* layer = client->made() && protocol ? protocol->as_layer() : nullptr) {
      layer->close_top();
    } else {
      client->close();
    }
  }
}

void abort_all(const ConnectionSet& connections) {
  for (StreamTransport* client = connections.first(); client; client = client->next_client()) {
    client->abort();
  }
}

}  // namespace ferry
