// TCP echo on Go's net package, a goroutine for each connection; with --message one write for each
// message. Options and output as the other peers'.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

const chunk = 64 * 1024

func echoChunks(conn net.Conn) {
	data := make([]byte, chunk)
	for {
		size, err := conn.Read(data)
		if err != nil {
			return
		}
		if _, err = conn.Write(data[:size]); err != nil {
			return
		}
	}
}

func echoMessages(conn net.Conn, size int) {
	reader := bufio.NewReaderSize(conn, chunk)
	message := make([]byte, size)
	for {
		if _, err := io.ReadFull(reader, message); err != nil {
			return
		}
		if _, err := conn.Write(message); err != nil {
			return
		}
	}
}

func main() {
	port := flag.Int("port", 0, "")
	message := flag.Int("message", 0, "bytes of a message; 0: chunks as they come")
	flag.Parse()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		os.Exit(0)
	}()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			defer conn.Close()
			if *message > 0 {
				echoMessages(conn, *message)
			} else {
				echoChunks(conn)
			}
		}()
	}
}
