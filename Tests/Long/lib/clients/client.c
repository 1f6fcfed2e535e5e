// Reads lines "NAME PORT", asks for the name as its libc does, connects to each address in turn, and prints what its user sees.
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
  char name[256], port[8];
  while (scanf("%255s %7s", name, port) == 2) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int failure = getaddrinfo(name, port, &hints, &found), connected = -1, reason = 0;
    for (struct addrinfo *one = failure ? NULL : found; one && connected < 0; one = one->ai_next) {
      int descriptor = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
      if (descriptor >= 0 && connect(descriptor, one->ai_addr, one->ai_addrlen) == 0) {
        connected = descriptor;
      } else {
        reason = errno;
        if (descriptor >= 0) close(descriptor);
      }
    }
    if (failure) {
      puts(gai_strerror(failure));
    } else {
      puts(connected < 0 ? strerror(reason) : "connected");
      freeaddrinfo(found);
    }
    if (connected >= 0) close(connected);
    fflush(stdout);
  }
}
