/** Options for sockets and the backend, prefixes and client mode. */
import { parseBackend } from "../address.ts";
import type { Option } from "../option.ts";
import {
  backlog,
  integer,
  ipAddresses,
  networks,
  onOff,
  proxyTlvs,
  secondsOrNone,
  serverName,
} from "../values.ts";

const bytes = integer(0, 2147483647);

export const socketOptions = {
  "backend": {
    config: { key: "backend", readers: ["master"] },
    group: "Sockets",
    short: "b",
    form: "text",
    argument: "ADDRESS",
    default: "[127.0.0.1]:8000",
    help: "Address of the backend: HOST,PORT or [HOST]:PORT, or /PATH or @NAME of a Unix socket.",
    parse: parseBackend,
  },
  "backend-refresh": {
    config: { key: "backendRefresh", readers: ["master"] },
    group: "Sockets",
    names: {
      stud: ["backend-refresh", "backendrefresh"],
      hitch: ["backend-refresh", "backendrefresh"],
    },
    short: "R",
    form: "number",
    argument: "SECONDS",
    default: "0",
    help: "How often to resolve the backend's name again; 0 means never.",
    parse: integer(0, 86400),
  },
  "backend-source": {
    config: { key: "backendSources", readers: ["master"] },
    group: "Sockets",
    form: "list",
    argument: "ADDRESS,…",
    default: "",
    help: "Connect to the backend from these addresses in turn; each has about 28,000 ports.",
    parse: ipAddresses,
    needs: { need: "backendSource", unless: "" },
  },
  "backlog": {
    config: { key: "backlog", readers: ["master", "worker"] },
    group: "Sockets",
    short: "B",
    form: "number",
    argument: "N",
    default: "1024",
    help: "Maximum number of connections in each listening socket's queue.",
    parse: backlog,
  },
  "keepalive": {
    config: { key: "keepalive", readers: ["master", "worker"] },
    group: "Sockets",
    short: "k",
    form: "number",
    argument: "SECONDS",
    default: "3600",
    help:
      "Idle time before TCP keepalive probes. Three follow at this interval, but at most 75 s apart; " +
      "a client that answers none is disconnected. 0 means 7200, the kernel's default.",
    parse: integer(0, 32767),
  },
  "tcp-user-timeout": {
    config: { key: "tcpUserTimeout", readers: ["master", "worker"] },
    group: "Sockets",
    form: "number",
    argument: "SECONDS",
    default: "0",
    help: "How long data may stay unacknowledged, or wait for the client to read, before the " +
      "client's connection is closed; 0 means the system's limits.",
    parse: secondsOrNone,
  },
  "tcp-fastopen": {
    config: { key: "tcpFastopen", readers: ["master", "worker"] },
    group: "Sockets",
    names: {
      stud: ["tcp-fastopen", "enable-tcp-fastopen"],
      hitch: ["tcp-fastopen", "enable-tcp-fastopen"],
    },
    form: "flag",
    strict: true,
    default: "off",
    help: "Accept data in the SYN (TCP Fast Open).",
    parse: onOff,
  },
  "recv-bufsize": {
    config: { key: "recvBufsize", readers: ["master", "worker"] },
    group: "Sockets",
    form: "number",
    argument: "BYTES",
    default: "0",
    help: "Receive buffer of client sockets; 0 means the system's default.",
    parse: bytes,
  },
  "send-bufsize": {
    config: { key: "sendBufsize", readers: ["master", "worker"] },
    group: "Sockets",
    form: "number",
    argument: "BYTES",
    default: "0",
    help: "Send buffer of client sockets; 0 means the system's default.",
    parse: bytes,
  },
  "write-ip": {
    group: "Prefix to the backend",
    form: "flag",
    strict: true,
    default: "off",
    help: "Write the client's address first: byte 2 and 4 bytes for IPv4, byte 10 and 16 bytes " +
      "for IPv6.",
    parse: onOff,
  },
  "write-proxy-v1": {
    group: "Prefix to the backend",
    names: { stud: ["write-proxy", "write-proxy-v1"], hitch: ["write-proxy-v1"] },
    form: "flag",
    strict: true,
    default: "off",
    help: "Write a PROXY protocol version 1 header first.",
    parse: onOff,
  },
  "write-proxy-v2": {
    group: "Prefix to the backend",
    names: { stud: ["write-proxy-v2"], hitch: ["write-proxy-v2", "write-proxy"] },
    form: "flag",
    strict: true,
    default: "off",
    help: "Write a PROXY protocol version 2 header first, with what is known of the TLS " +
      "session; in hitch's dialect --write-proxy means the same.",
    parse: onOff,
  },
  "proxy-tlvs": {
    group: "Prefix to the backend",
    form: "list",
    argument: "LIST",
    example: "alpn,authority,ssl",
    help: "Contents of a version 2 header, in this order: any of alpn, authority, unique-id, " +
      "hitch-cert, ssl (version and cipher) with cn, sig-alg, key-alg and client-cert in " +
      "it, crc32c. Default: alpn,authority,ssl,cn,sig-alg,key-alg as far as the build " +
      "supports them; in hitch's dialect alpn,authority,ssl.",
    parse: proxyTlvs,
  },
  "proxy-tlv": {
    group: "Prefix to the backend",
    form: "flag",
    default: "on",
    help: "Include the TLS session in a version 2 header.",
    parse: onOff,
    needs: { need: "tlsFacts", unless: "off" },
  },
  "proxy-authority": {
    group: "Prefix to the backend",
    form: "flag",
    default: "on",
    help: "Include the client's server name (SNI) in a version 2 header.",
    parse: onOff,
    needs: { need: "tlsFacts", unless: "off" },
  },
  "proxy-client-cert": {
    group: "Prefix to the backend",
    form: "flag",
    default: "off",
    help: "Include the client's certificate in a version 2 header: as client-cert, in hitch's " +
      "dialect as hitch-cert.",
    parse: onOff,
    needs: { need: "verifyClients", unless: "off" },
  },
  "proxy-proxy": {
    group: "PROXY header from clients",
    form: "flag",
    strict: true,
    default: "off",
    help: "Forward the PROXY header that each client sends first.",
    parse: onOff,
    needs: { need: "headerFirst", unless: "off" },
  },
  "accept-proxy": {
    group: "PROXY header from clients",
    form: "flag",
    default: "off",
    help: "Take the client's address from the PROXY header that --trusted-proxies send first.",
    parse: onOff,
    needs: { need: "headerFirst", unless: "off" },
  },
  "trusted-proxies": {
    group: "PROXY header from clients",
    form: "list",
    argument: "ADDRESS,…",
    default: "",
    help: "Who may send such a header: addresses and CIDR blocks, as in 10.0.0.0/8, and unix " +
      "for clients of a Unix frontend.",
    parse: networks,
  },
  "client": {
    group: "Client mode",
    form: "flag",
    default: "off",
    help: "Accept plain connections, and connect to the backend with TLS.",
    parse: onOff,
  },
  "backend-name": {
    group: "Client mode",
    form: "text",
    argument: "NAME",
    default: "",
    help: "Server name to send to the backend (SNI) and to verify. Default: the host of " +
      "--backend, if it is a name.",
    parse: serverName,
  },
} as const satisfies Record<string, Option>;
