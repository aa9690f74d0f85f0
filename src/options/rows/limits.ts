/** Options for time limits, and for the resources that clients may use. */
import type { Option } from "../option.ts";
import { countOr, integer, seconds, secondsOrNone } from "../values.ts";

export const limitOptions = {
  "ssl-handshake-timeout": {
    config: { key: "handshakeTimeout", readers: ["worker"] },
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "30",
    help: "Time limit from accept to the end of the TLS handshake.",
    parse: seconds,
  },
  "backend-connect-timeout": {
    config: { key: "backendConnectTimeout", readers: ["worker"] },
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "30",
    help: "Time limit from the end of the handshake until the backend is connected.",
    parse: seconds,
  },
  "half-close-timeout": {
    config: { key: "halfCloseTimeout", readers: ["worker"] },
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "60",
    help: "Idle time limit for a connection that one side has closed.",
    parse: seconds,
  },
  "idle-timeout": {
    config: { key: "idleTimeout", readers: ["worker"] },
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "0",
    help: "Idle time in both directions after which a connection is closed; 0 means never.",
    parse: secondsOrNone,
  },
  "max-lifetime": {
    config: { key: "maxLifetime", readers: ["worker"] },
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "0",
    help: "Age at which a connection is closed, or reset if it is in use; 0 means never.",
    parse: secondsOrNone,
  },
  "drain-timeout": {
    config: { key: "drainTimeout", readers: ["master"] },
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "30",
    help: "How long a stop waits for open connections to close; 0 cuts them at once.",
    parse: secondsOrNone,
  },
  "reload-drain-timeout": {
    config: { key: "reloadDrainTimeout", readers: ["master"] },
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "0",
    help: "How long workers of an old configuration may keep their connections; 0 means forever.",
    parse: secondsOrNone,
  },
  "max-connections": {
    config: { key: "limits.connections", readers: ["master"] },
    group: "Limits",
    form: "number",
    argument: "N",
    default: "0",
    help:
      "Concurrent connections in all workers together; more wait in the queue. 0 means no limit.",
    parse: integer(0, 10_000_000),
  },
  "max-worker-connections": {
    config: { key: "limits.workerConnections", readers: ["worker"] },
    group: "Limits",
    form: "text",
    argument: "N|auto",
    default: "auto",
    help: "Concurrent connections in each worker; more wait in the queue. auto is as many " +
      "as the descriptor limit allows.",
    parse: countOr("auto", 10_000_000),
  },
  "max-handshakes": {
    config: { key: "limits.handshakes", readers: ["worker"] },
    group: "Limits",
    form: "text",
    argument: "N|auto",
    default: "auto",
    help: "Concurrent TLS handshakes in each worker; above that, the oldest client that has sent " +
      "nothing is reset, or else the oldest of all. auto is a quarter of the worker's connections, but " +
      "at least 1024.",
    parse: countOr("auto", 10_000_000),
  },
  "max-source-connections": {
    config: { key: "limits.sourceConnections", readers: ["worker"] },
    group: "Limits",
    form: "number",
    argument: "N",
    default: "0",
    help: "Concurrent connections from one address (IPv6: one /64) in each worker; more are " +
      "reset. 0 means no limit.",
    parse: integer(0, 10_000_000),
  },
  "max-source-rate": {
    config: { key: "limits.sourceRate", readers: ["worker"] },
    group: "Limits",
    form: "number",
    argument: "N",
    default: "0",
    help: "New connections per second from one address (IPv6: one /64) in each worker; more " +
      "are reset. 0 means no limit.",
    parse: integer(0, 1_000_000),
  },
  "max-generations": {
    config: { key: "maxGenerations", readers: ["master"] },
    group: "Limits",
    form: "number",
    argument: "N",
    default: "8",
    help: "Configurations that can have workers at the same time; above that, a reload waits " +
      "until the workers of one have exited.",
    parse: integer(2, 1000),
  },
} as const satisfies Record<string, Option>;
