"use strict";
// Draws the charts, and shows the logs as they are filtered.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Okabe and Ito's colours, which the colour-blind can tell apart.
  const colours = ["#2a8bd0", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8f98", "#b8a900"];

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const [text, line] = ["--text", "--line"].map((name) => style.getPropertyValue(name).trim());
    const fonts = { labelColor: text, titleColor: text, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
    const axis = { ...fonts, gridColor: line, domainColor: line, tickColor: line, labelOverlap: true };
    const config = {
      background: "transparent", view: { stroke: line }, axis,
      legend: { ...fonts, orient: "top", symbolOpacity: 1 }, text: { color: text }, range: { category: colours },
    };
    for (const [id, spec] of Object.entries(read("charts") ?? {})) {
      const place = document.getElementById(`chart-${id}`);
      const full = { ...spec, config, width: "container", autosize: { type: "fit-x", contains: "padding" } };
      try {
        const view = new vega.View(vega.parse(vegaLite.compile(full).spec), { renderer: "svg", container: place, hover: true });
        view.tooltip((_, event, item, value) => {
          place.title = value && typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k}: ${v}`).join("\n") : value ?? "";
        });
        // To a screen reader the chart is its label, and its table has the values: no marks one by one.
        view.runAsync().then(() => place.querySelector("svg").setAttribute("aria-hidden", "true"));
      } catch (error) {
        place.textContent = `This chart could not be drawn (${error}); its table is below.`;
      }
    }
  }

  function logs() {
    const list = document.getElementById("log-lines");
    if (!list) return;
    const { nodes, lines } = read("lines");
    const by = (id) => document.getElementById(id);
    const page = 2000;
    let shown = [];
    const firstError = lines.findIndex((line) => line[2] === 0);

    const matcher = (text) => {
      const regex = /^\/(.+)\/$/.exec(text);
      if (regex) {
        try {
          const wanted = new RegExp(regex[1], "i");
          return (line) => wanted.test(line);
        } catch (error) {
          by("log-count").textContent = `${error}`;
          return () => false;
        }
      }
      const wanted = text.toLowerCase();
      return (line) => line.toLowerCase().includes(wanted);
    };

    const row = (index) => {
      const [second, node, level, text] = lines[index];
      const item = document.createElement("li");
      item.className = `level-${level}${index === firstError ? " first-error" : ""}`;
      const time = /^\d{4}-\d\d-\d\dT\S+\s+/;
      for (const [name, value] of [["time", second?.toFixed(3) ?? ""], ["node", nodes[node]], ["text", text.replace(time, "")]]) {
        const cell = document.createElement("span");
        cell.className = name;
        cell.textContent = value;
        item.append(cell);
      }
      return item;
    };

    const more = (count) => {
      const from = list.childElementCount;
      list.append(...shown.slice(from, from + count).map(row));
      by("log-more").hidden = list.childElementCount >= shown.length;
    };

    const filter = () => {
      const matches = matcher(by("log-search").value);
      const level = Number(by("log-level").value);
      const wanted = new Set([...document.querySelectorAll("[name=node]:checked")].map((box) => Number(box.value)));
      const thisRun = by("log-run").checked;
      shown = [];
      lines.forEach(([second, node, ofLine, text], index) => {
        if (ofLine <= level && wanted.has(node) && !(thisRun && second < 0) && matches(text)) shown.push(index);
      });
      list.replaceChildren();
      by("log-count").textContent = `${shown.length} of ${lines.length} lines`;
      more(page);
    };

    by("log-filter").addEventListener("submit", (event) => event.preventDefault());
    by("log-filter").addEventListener("input", filter);
    by("log-more").addEventListener("click", () => more(page));
    by("log-error").disabled = firstError < 0;
    const toFirstError = () => {
      more(Math.max(0, shown.indexOf(firstError) - list.childElementCount + 100));
      const line = list.querySelector(".first-error");
      if (line) list.scrollTop = line.offsetTop - list.offsetTop - list.clientHeight / 3;
    };
    by("log-error").addEventListener("click", () => {
      by("log-search").value = "";
      by("log-level").value = "4";
      document.querySelectorAll("[name=node]").forEach((box) => { box.checked = true; });
      filter();
      toFirstError();
      list.focus();
    });
    by("log-run").checked = lines.some((line) => line[0] < 0);
    filter();
    if (firstError >= 0) toFirstError();
  }

  draw();
  dark.addEventListener("change", draw);
  logs();
})();
