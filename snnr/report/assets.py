"""Style and script of the page. The script shows what the nearest point says, as plain text."""

STYLE = """
:root{color-scheme:light;font:15px/1.45 system-ui,"DejaVu Sans",sans-serif;color:#1d1d1f}
body{max-width:1320px;margin:0 auto;padding:1.2rem 1.6rem 4rem;background:#fff}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2rem 0 .4rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}p.note{color:#5a5a60;margin:.1rem 0 .6rem}
.row{display:flex;flex-wrap:wrap;gap:1rem 1.6rem;align-items:flex-start}
figure.chart{position:relative;margin:0;flex:1 1 480px;max-width:640px}
figure.small{flex:0 1 300px;max-width:320px}
figure.picture{margin:0}figure.picture img{image-rendering:pixelated;border:1px solid #ddd}
figcaption{font-size:.82rem;color:#5a5a60}
svg{width:100%;height:auto;display:block}svg text{font-size:11.5px;fill:#3a3a3d}
text.x{text-anchor:middle}text.y{text-anchor:end}.grid{stroke:#ececef}
.axis{fill:none;stroke:#3a3a3d}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;list-style:none;margin:.2rem 0 0 3.6rem;
padding:0;font-size:.82rem}
.legend svg{display:inline-block;width:30px;height:10px;margin-right:.35rem;fill:none}
.tip{position:absolute;pointer-events:none;margin:0;padding:.3rem .5rem;background:#1d1d1f;
color:#fff;border-radius:5px;font-size:.8rem;white-space:pre-line;max-width:320px;z-index:2}
.near{stroke:#1d1d1f;stroke-width:2px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.86rem}
th,td{padding:.18rem .7rem;text-align:right;border-bottom:1px solid #e6e6ea;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
summary{cursor:pointer;font-weight:600;padding:.5rem 0}details{border-top:1px solid #ddd}
"""

SCRIPT = """
for (const figure of document.querySelectorAll('figure.chart')) {
  const svg = figure.querySelector('svg'), tip = figure.querySelector('.tip');
  const marks = Array.from(svg.querySelectorAll('[data-t]'));
  let near = null;
  const leave = () => { if (near) near.classList.remove('near'); near = null; tip.hidden = true; };
  svg.addEventListener('mousemove', (event) => {
    let best = null, least = 40;
    for (const mark of marks) {
      const box = mark.getBoundingClientRect();
      const dx = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
      const dy = mark.tagName === 'rect' ? 0
        : Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
      const away = Math.hypot(dx, dy);
      if (away < least) { least = away; best = mark; }
    }
    if (best === near) return;
    leave();
    if (!best) return;
    near = best;
    near.classList.add('near');
    tip.textContent = near.dataset.t;
    tip.hidden = false;
    const frame = figure.getBoundingClientRect(), box = near.getBoundingClientRect();
    const left = box.left - frame.left + 12;
    tip.style.left = Math.max(0, Math.min(left, frame.width - tip.offsetWidth)) + 'px';
    tip.style.top = Math.max(0, box.top - frame.top - tip.offsetHeight - 6) + 'px';
  });
  svg.addEventListener('mouseleave', leave);
}
"""
