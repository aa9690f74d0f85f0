/** Socket options of another process that no tool shows. */
import assert from "node:assert/strict";
import { run } from "./commands.ts";

/** A TCP option (netinet/tcp.h). */
export const TCP_NODELAY = 1;
export const TCP_USER_TIMEOUT = 18;
export const TCP_FASTOPEN = 23;

/** The values of a TCP option on a process's listening or other sockets. */
export async function socketOptions(
  pid: number,
  { listening, option }: { readonly listening: boolean; readonly option: number },
): Promise<number[]> {
  // pidfd_open(2) and pidfd_getfd(2); getsockopt(2) of SO_DOMAIN, SO_ACCEPTCONN and the option.
  const program = `
    my ($pid, $listening, $option) = @ARGV;
    my $process = syscall(434, $pid + 0, 0);
    for my $name (map { m{/(\\d+)$} } glob "/proc/$pid/fd/*") {
      my $fd = syscall(438, $process, $name + 0, 0);
      next if $fd < 0 or not open(my $socket, "+<&=", $fd);
      my $domain = getsockopt($socket, 1, 39) or next;
      next unless grep { $_ == unpack("i", $domain) } (2, 10);
      next unless unpack("i", getsockopt($socket, 1, 30)) == $listening;
      print unpack("i", getsockopt($socket, 6, $option)), "\\n";
    }`;
  const words = [String(pid), listening ? "1" : "0", String(option)];
  const { stdout, stderr } = await run("perl", ["-e", program, ...words]);
  assert.equal(stderr, "");
  return stdout.split("\n").filter((line) => line !== "").map(Number);
}
