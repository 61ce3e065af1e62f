import { relative } from "node:path";
import { repairHome } from "../../store/file/care/repair.ts";
import { type Fault, type VerifyOptions, type VerifyReport, verifyHome } from "../../store/file/care/verify.ts";
import { assertFiles, storeUrlOf } from "../database.ts";
import { type HomeOption, homeOf } from "../home-folder.ts";
import type { Io } from "../terminal/io.ts";
import type { Paint } from "../terminal/style.ts";
import { faultLine, showReport, verdictOf, watched } from "./check-report.ts";

type Options = HomeOption & { readonly json?: boolean };

export async function verify(options: Options, io: Io): Promise<void> {
  const url = storeUrlOf(options, io);
  if (url !== undefined) {
    const { verifyStore } = await import("./check-database.ts");
    return verifyStore(url, options, io);
  }
  const report = await overHome(options, io, verifyHome);
  const { faults, home } = report;
  await showReport(
    report,
    {
      json: options.json,
      lines: (paint) => [...faults.map((fault) => inHome(fault, home, paint)), verdictOfHome(report)],
      isWrong: faults.length > 0,
    },
    io,
  );
}

export async function repair(options: Options, io: Io): Promise<void> {
  assertFiles("`skein repair` mends rollout files", options, io);
  const report = await overHome(options, io, repairHome);
  const { mended, left, kept, after } = report;
  const { home } = after;
  await showReport(
    report,
    {
      json: options.json,
      lines: (paint) => [
        ...mended.map((fault) => `${paint("green", "mended")}  ${inHome(fault, home, paint)}`),
        ...left.map((fault) => `${paint("red", "left")}    ${inHome(fault, home, paint)}`),
        ...kept.map((path) => `${paint("dim", "kept")}    ${relative(home, path)}`),
        `${mended.length} mended, ${left.length} left; ${verdictOfHome(after)}`,
      ],
      isWrong: left.length > 0,
    },
    io,
  );
}

const overHome = <T>(options: Options, io: Io, work: (given: VerifyOptions) => Promise<T>): Promise<T> =>
  watched("files", io, ({ signal, tell }) =>
    work({ home: homeOf(options, io), signal, onProgress: ({ files, faults }) => tell(files, faults) }),
  );

const inHome = (fault: Fault, home: string, paint: Paint): string => {
  const place = relative(home, fault.path);
  return faultLine(fault, fault.offset === null ? place : `${place} at byte ${fault.offset}`, paint);
};

const verdictOfHome = (report: VerifyReport): string => verdictOf(report.home, [report.files, "files"], report);
