#!/usr/bin/env node
// TCP echo on Node's net module, as its documentation writes it; with --message one write for each
// message. Options and output as the other peers'.
'use strict';

const net = require('net');

const options = {port: 0, message: 0};
const words = process.argv.slice(2);
while (words.length > 0) {
  const name = words.shift().replace(/^--/, '');
  const value = Number(words.shift());
  if (!(name in options) || !Number.isInteger(value) || value < 0) {
    process.stderr.write('usage: node_echo.js --port P [--message BYTES]\n');
    process.exit(2);
  }
  options[name] = value;
}

function answer(socket, data) {
  // What the peer does not take must not pile up here.
  if (!socket.write(data) && !socket.isPaused()) {
    socket.pause();
    socket.once('drain', () => socket.resume());
  }
}

function echoChunks(socket) {
  socket.on('data', (chunk) => answer(socket, chunk));
}

function echoMessages(socket) {
  let begun = Buffer.alloc(0);  // the first bytes of a message whose end has not come
  socket.on('data', (chunk) => {
    const data = begun.length > 0 ? Buffer.concat([begun, chunk]) : chunk;
    let done = 0;
    for (; data.length - done >= options.message; done += options.message) {
      answer(socket, data.subarray(done, done + options.message));
    }
    begun = data.subarray(done);
  });
}

const server = net.createServer({noDelay: true}, (socket) => {
  socket.on('error', () => socket.destroy());
  (options.message > 0 ? echoMessages : echoChunks)(socket);
});
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
server.listen({port: options.port, host: '127.0.0.1', backlog: 1024}, () => {
  process.stdout.write(`listening on 127.0.0.1:${server.address().port}\n`);
});
