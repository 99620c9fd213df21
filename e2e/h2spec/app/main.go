// The application behind the proxy while h2spec runs: HTTP/2 without TLS, another implementation than the proxy's.
// Says its address on standard output, answers every request with what it was sent.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		fmt.Fprintf(answer, "%s %s, %d bytes\n", request.Method, request.URL.Path, len(body))
	})}
	log.Fatal(server.Serve(listener))
}
