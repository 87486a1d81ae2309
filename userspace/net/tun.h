/*
 * The TUN device through which released first flights enter the kernel's stack: one device, one
 * queue per worker. Writing runs the stack: when tun_write() returns, the socket exists (or the
 * packet was dropped). Nothing is ever read from it. The device goes with the last descriptor.
 * tun_open and tun_close: control thread; a queue's descriptor belongs to one worker.
 */
#ifndef SLUICE_NET_TUN_H
#define SLUICE_NET_TUN_H

#include "core/attr.h"
#include "core/err.h"
#include "net/addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct tun;

/* Of every such device: see tun.c. Nobody connects to it. */
#define TUN_ADDRESS "192.0.0.8"

/* `name` may end in %d. Sets up: link up, loose rp_filter (and the dummy
 * IPv4 address 192.0.0.8, without which that drops all), no IPv6 address, no router solicitations. */
int tun_open(const char *name, uint32_t queues, struct tun **ret_tun, struct err *err) must_check;
/* The device of another process, by the descriptors of its queues, which are its own then (on an error they
 * stay the caller's); as many more as are missing are made. */
int tun_take(const int *fds, uint32_t n_fds, uint32_t queues, struct tun **ret_tun,
	struct err *err) must_check;
void tun_close(struct tun *tun);
const char *tun_name(const struct tun *tun);
uint32_t tun_ifindex(const struct tun *tun);
uint32_t tun_queues(const struct tun *tun);
int tun_queue_fd(const struct tun *tun, uint32_t queue);

/* Sends what the host has for that one client into the device, or no longer. For probes: their
 * client is nobody. 0 or -errno. */
int tun_route(const struct tun *tun, const union addr *client, bool there) must_check;
/* Throws away what the host sent into the device. */
void tun_drain(const struct tun *tun);

/* One IP packet of TCP. `partial`: its TCP checksum is the sum of the pseudo header only, as a
 * sender with checksum offload leaves it. `ip_header_bytes` is where the TCP header begins.
 * 0 or -errno. */
int tun_write(int queue_fd, const struct iovec *parts, int n_parts, uint32_t ip_header_bytes,
	bool partial) must_check;

#endif
