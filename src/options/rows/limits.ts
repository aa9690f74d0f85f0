/** Options about time limits, and about how much clients may take. */
import type { Option } from "../option.ts";
import { countOr, integer, seconds, secondsOrNone } from "../values.ts";

export const limitOptions = {
  "ssl-handshake-timeout": {
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "30",
    help: "From accept to the end of the TLS handshake.",
    parse: seconds,
  },
  "backend-connect-timeout": {
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "30",
    help: "From the end of the handshake until the backend is connected.",
    parse: seconds,
  },
  "half-close-timeout": {
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "60",
    help: "Silence allowed on a connection that one side has ended.",
    parse: seconds,
  },
  "idle-timeout": {
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "0",
    help: "Silence in both directions after which a connection is ended; 0 is never.",
    parse: secondsOrNone,
  },
  "max-lifetime": {
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "0",
    help: "Age at which a connection is ended, busy or not; 0 is never.",
    parse: secondsOrNone,
  },
  "drain-timeout": {
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "30",
    help: "How long a stop waits for open connections to end; 0 cuts them at once.",
    parse: secondsOrNone,
  },
  "reload-drain-timeout": {
    group: "Time limits",
    form: "number",
    argument: "SECONDS",
    default: "0",
    help: "How long workers of an old configuration may keep their connections; 0 is for ever.",
    parse: secondsOrNone,
  },
  "max-connections": {
    group: "Limits",
    form: "number",
    argument: "N",
    default: "0",
    help: "Connections at once in all workers together; more wait in the queue. 0 is no limit.",
    parse: integer(0, 10_000_000),
  },
  "max-worker-connections": {
    group: "Limits",
    form: "text",
    argument: "N|auto",
    default: "auto",
    help: "Connections at once in each worker; more wait in the queue. auto is as many as the " +
      "descriptor limit allows.",
    parse: countOr("auto", 10_000_000),
  },
  "max-handshakes": {
    group: "Limits",
    form: "text",
    argument: "N|auto",
    default: "auto",
    help:
      "TLS handshakes at once in each worker; beyond, the one that has taken longest is reset. " +
      "auto is a quarter of the worker's connections, and at least 1024.",
    parse: countOr("auto", 10_000_000),
  },
  "max-source-connections": {
    group: "Limits",
    form: "number",
    argument: "N",
    default: "0",
    help: "Connections at once from one address (IPv6: one /64) in each worker; more are reset. " +
      "0 is no limit.",
    parse: integer(0, 10_000_000),
  },
  "max-source-rate": {
    group: "Limits",
    form: "number",
    argument: "N",
    default: "0",
    help: "New connections a second from one address (IPv6: one /64) in each worker; more are " +
      "reset. 0 is no limit.",
    parse: integer(0, 1_000_000),
  },
  "max-generations": {
    group: "Limits",
    form: "number",
    argument: "N",
    default: "8",
    help: "Configurations whose workers may live at once; beyond, a reload waits until one ends.",
    parse: integer(2, 1000),
  },
} satisfies Record<string, Option>;
