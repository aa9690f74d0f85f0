/**
 * Constants of the operating system's interface. All that depends on the system is in this directory;
 * Linux is the only one so far. x64 and arm64 agree, except where a comment says otherwise.
 */

/** Address families, as in a `sockaddr` and in stud's write-ip prefix. */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
/** Minimum number of bytes that make a socket readable. */
export const SO_RCVLOWAT = 18;
/** Also the time limit of a blocking accept. */
export const SO_RCVTIMEO = 20;
/** Also the time limit of a blocking connect. */
export const SO_SNDTIMEO = 21;
export const SO_ACCEPTCONN = 30;
export const SO_ATTACH_REUSEPORT_CBPF = 51;
/** The value is the index of an interface. */
export const SO_BINDTOIFINDEX = 62;
export const SO_DETACH_REUSEPORT_BPF = 68;
export const IPPROTO_IP = 0;
/** The port is chosen at connect, so that connections to different peers can share one. */
export const IP_BIND_ADDRESS_NO_PORT = 24;
export const IP_MULTICAST_IF = 32;
export const IP_MULTICAST_TTL = 33;
export const IP_ADD_MEMBERSHIP = 35;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
/** Seconds between two probes. */
export const TCP_KEEPINTVL = 5;
/** Probes without an answer until the connection is dropped. */
export const TCP_KEEPCNT = 6;
export const TCP_INFO = 11;
export const TCP_QUICKACK = 12;
/** Milliseconds; 0 means the system's default (tcp(7)). */
export const TCP_USER_TIMEOUT = 18;
export const TCP_FASTOPEN = 23;
export const IPPROTO_IPV6 = 41;
export const IPV6_MULTICAST_IF = 17;
export const IPV6_MULTICAST_HOPS = 18;
export const IPV6_ADD_MEMBERSHIP = 20;
export const IPV6_V6ONLY = 26;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;
export const MSG_PEEK = 2;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const PR_SET_DUMPABLE = 4;
export const PR_SET_NAME = 15;
export const PR_SET_NO_NEW_PRIVS = 38;
export const PR_CAP_AMBIENT = 47;
export const PR_CAP_AMBIENT_IS_SET = 1;
export const PR_CAP_AMBIENT_RAISE = 2;
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;
/** As in capget(2): two structures of three 32-bit sets. */
export const LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;
/** waitpid(2): returns at once. */
export const WNOHANG = 1;
export const O_RDONLY = 0;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const MFD_CLOEXEC = 1;
export const EPOLL_CTL_MOD = 3;
/** One event, then none until the entry is set again. */
export const EPOLLONESHOT = 1 << 30;
export const POLLIN = 1;
export const POLLOUT = 4;
/** What poll(2) reports without being asked: an error, an end, and no open descriptor. */
export const POLLERR = 8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20;
export const CLOCK_MONOTONIC = 1;
/** An ioctl without an argument: sets close-on-exec. */
export const FIOCLEX = 0x5451;
/** An ioctl with an int argument: nonzero makes the descriptor non-blocking. */
export const FIONBIO = 0x5421;
export const F_GETFL = 3;
/** Sets a lock that belongs to the open file description; it conflicts with those of F_SETLK. */
export const F_OFD_SETLK = 37;

export const EINTR = 4;
export const EAGAIN = 11;
export const EMSGSIZE = 90;
/** The socket at that address is of another type. */
export const EPROTOTYPE = 91;
export const EINPROGRESS = 115;

/** The running executable, for children to run the same even if the file at its path has changed. */
export const runningFile = "/proc/self/exe";
