/**
 * Erlang/OTP processes that hold a conversation and nothing else: the floor of any actor runtime. The work is done and timed within
 * one `erl`; what the driver asks for is answered with the time that it took there.
 */
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { TEXT } from "./words.mjs";

const MODULE = `
-module(talk).
-export([main/0]).
text() -> <<"${TEXT}">>.
main() -> io:setopts([binary]), serve([]).
serve(Last) ->
  case io:get_line("") of
    eof -> halt(0);
    Line ->
      [Work | Rest] = string:lexemes(string:trim(Line), " "),
      Begun = erlang:monotonic_time(nanosecond),
      Next = work(Work, Rest, Last),
      io:format("~p~n", [erlang:monotonic_time(nanosecond) - Begun]),
      serve(Next)
  end.
work(<<"start">>, _, _) -> spawn(fun() -> loop([]) end);
work(<<"message">>, _, Pid) -> Pid ! {say, self(), text()}, receive answer -> Pid end;
work(<<"build">>, [N], _) ->
  All = [{case I rem 2 of 0 -> user; _ -> assistant end, binary:copy(text())} || I <- lists:seq(0, binary_to_integer(N) - 1)],
  spawn(fun() -> loop(All) end);
work(<<"fork">>, [N], Pid) ->
  Pid ! {fork, self(), binary_to_integer(N)},
  receive {forked, Fork} -> Fork ! {size, self()}, receive {size, _} -> Pid end end.
loop(Messages) ->
  receive
    {say, From, Text} -> From ! answer, loop([{assistant, text()}, {user, Text} | Messages]);
    {size, From} -> From ! {size, length(Messages)}, loop(Messages);
    {fork, From, N} ->
      Kept = lists:sublist(Messages, N),
      From ! {forked, spawn(fun() -> loop(Kept) end)}, loop(Messages)
  end.
`;

export const peer = {
  name: "Erlang/OTP processes",
  version: process.env.SKEIN_PEER_VERSION,
  async open(folder) {
    writeFileSync(join(folder, "talk.erl"), MODULE);
    execFileSync("erlc", ["-o", folder, join(folder, "talk.erl")], { stdio: ["ignore", "ignore", "inherit"] });
    const child = spawn("erl", ["-noshell", "-pa", folder, "-s", "talk", "main"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const ask = async (...words) => {
      child.stdin.write(`${words.join(" ")}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error("erl has ended");
      return { tookUs: Number(value) / 1_000 };
    };
    return {
      start: () => ask("start"),
      message: () => ask("message"),
      build: (messages) => ask("build", messages),
      fork: (_, kept) => ask("fork", kept),
    };
  },
};
