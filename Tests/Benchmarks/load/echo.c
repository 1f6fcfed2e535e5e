// The floor: what the kernel's UDP path costs when a program does next to nothing. Receives and sends in batches, and
// answers every query with one fixed A record appended to it. usage: echo PORT [BATCH [LEVEL OPTION VALUE]...]: datagrams
// of a batch, and options of the socket, all as numbers.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { MOST = 512, SIZE = 1232 };

int main(int argc, char **argv) {
  int batch = argc > 2 ? atoi(argv[2]) : 64;
  int fd = socket(AF_INET, SOCK_DGRAM, 0), buffer = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (argc > 1) own.sin_port = htons((uint16_t)atoi(argv[1]));
  for (int i = 3; i + 2 < argc; i += 3) {
    int value = atoi(argv[i + 2]);
    if (setsockopt(fd, atoi(argv[i]), atoi(argv[i + 1]), &value, sizeof value)) perror("setsockopt");
  }
  if (argc < 2 || batch < 1 || batch > MOST || bind(fd, (void *)&own, sizeof own)) {
    perror("echo");
    return 1;
  }
  static unsigned char packet[MOST][SIZE];
  static const unsigned char answer[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 45, 11, 0, 0};
  static struct mmsghdr message[MOST];
  struct iovec vector[MOST];
  struct sockaddr_in peer[MOST];
  for (int i = 0; i < batch; i++) {
    vector[i] = (struct iovec){packet[i], SIZE - sizeof answer};
    message[i].msg_hdr =
        (struct msghdr){.msg_name = &peer[i], .msg_namelen = sizeof peer[i], .msg_iov = &vector[i], .msg_iovlen = 1};
  }
  for (;;) {
    int n = recvmmsg(fd, message, batch, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++) {
      unsigned char *octets = packet[i];
      unsigned length = message[i].msg_len;
      if (length > 16) {
        octets[2] |= 0x80, octets[3] = 0x80, octets[7] = 1;
        memcpy(octets + length, answer, sizeof answer), length += sizeof answer;
      }
      vector[i].iov_len = length;
    }
    for (int sent = 0; sent < n;) {
      int r = sendmmsg(fd, message + sent, (unsigned)(n - sent), 0);
      sent += r > 0 ? r : 1;
    }
    for (int i = 0; i < n; i++) {
      vector[i].iov_len = SIZE - sizeof answer;
      message[i].msg_hdr.msg_namelen = sizeof peer[i];
    }
  }
}
