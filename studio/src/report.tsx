import { useEffect, useState } from "preact/hooks";
import { type Report, type SetAnswer, read } from "./api";

/** What was changed, when, and by whom. */
export function ReportPage({ set, open, close }: { set: SetAnswer; open: (n: number) => void; close: () => void }) {
  const [report, setReport] = useState<Report | null>(null);
  const [told, setTold] = useState("");
  useEffect(() => {
    read<Report>("report").then(setReport, (error: Error) => setTold(error.message));
  }, []);
  const people = new Map<string, number>();
  report?.lines.forEach((line) => people.set(line.by || "no name", (people.get(line.by || "no name") ?? 0) + 1));
  return (
    <main class="gridpage">
      <header>
        <button onClick={close}>All images</button>
        <h1>What was changed in {set.title}</h1>
        <a href="api/report.csv" download>
          Save as CSV
        </a>
      </header>
      {told && <p role="status">{told}</p>}
      {report && (
        <div class="grid" tabIndex={0} role="region" aria-label="Report">
          <p class="quiet">
            {report.total.toLocaleString()} entries. {[...people].map(([name, count]) => `${name}: ${count.toLocaleString()}`).join(", ")}
          </p>
          <table>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Who</th>
                <th scope="col">Image</th>
                <th scope="col">What</th>
                <th scope="col">Objects</th>
                <th scope="col">Reason</th>
              </tr>
            </thead>
            <tbody>
              {report.lines.map((line, k) => (
                <tr key={k}>
                  <td>{line.at.replace("T", " ").slice(0, 16)}</td>
                  <td>{line.by}</td>
                  <td>{line.image === null ? line.name : <button onClick={() => open(line.image!)}>{line.name}</button>}</td>
                  <td>{line.what}</td>
                  <td class="number">{line.objects || ""}</td>
                  <td>{line.reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </main>
  );
}
