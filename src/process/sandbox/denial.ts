const DENIALS = [
  "operation not permitted",
  "permission denied",
  "read-only file system",
  "bwrap:",
  "network is unreachable",
  "could not resolve host",
];

/** Whether a failed command looks as if the sandbox had kept it from its work. */
export function looksDenied({ exitCode, aggregated }: { exitCode: number; aggregated: string }): boolean {
  if (exitCode === 0 || exitCode === 2 || exitCode === 126 || exitCode === 127) return false;
  const text = aggregated.toLowerCase();
  return DENIALS.some((denial) => text.includes(denial));
}
