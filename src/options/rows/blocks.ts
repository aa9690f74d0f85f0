/** The two repeatable options that a file may write as a block. */
import type { Option } from "../option.ts";
import { DEFAULT_FRONTEND, frontendText, pemText } from "../blocks.ts";

export const compositeOptions = {
  "frontend": {
    group: "Sockets",
    short: "f",
    form: "frontend",
    argument: "ADDRESS",
    repeat: true,
    help: "Where clients connect: HOST,PORT or [HOST]:PORT, with +CERT appended for a " +
      "certificate of its own; * is every address; /PATH or @NAME is a Unix socket, " +
      "systemd:NAME a socket from the service manager. Repeatable. Default: " +
      `${DEFAULT_FRONTEND}.`,
    parse: frontendText,
  },
  "pem-file": {
    group: "Certificates",
    form: "pem",
    argument: "FILE",
    example: "/etc/ssl/private/example.com.pem",
    in: ["line", "file", "frontend"],
    repeat: true,
    help: "Certificate with its chain and key, the same as a PEM argument. The last one serves " +
      "clients that send no server name or an unknown one. Repeatable.",
    parse: pemText,
  },
} as const satisfies Record<string, Option>;
