#!/usr/bin/python3
"""The page in a real browser, against a real server. The program is $HEADSCOPE; arguments are unittest's."""
import io
import json
import os
import re
import sys
import tempfile
import time
import unittest
import urllib.request

import numpy
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browser import Browser, Server

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = ('A small river runs through the town of Alder. In spring the small river runs high, and the people of Alder walk down to '
        'the old bridge to watch it. In autumn the small river runs low, and the old bridge is quiet.')
LONG = ''.join(f'In year {year} the river of town {year * 7 % 97} ran high and the bridge stood. ' for year in range(240))
DONE = 'document.getElementById("copy-link").hidden === false && document.querySelector(".grid-panel").dataset.arrived == 30'
PROGRAM = None
MODELS = os.environ.get('HEADSCOPE_MODELS')


def model_file():
    data = os.environ.get('XDG_DATA_HOME') or os.path.expanduser('~/.local/share')
    return os.path.join(MODELS or os.path.join(data, 'headscope', 'models'), 'SmolLM2-135M-Instruct.Q4_1.gguf')


def get(address):
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.load(answer)


class PageCase(unittest.TestCase):
    """A server and a cache for the class; browsers are made as needed and checked when they go."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix='headscope-page-')
        # One model, whatever else is in the folder: the texts below are known through it.
        models = os.path.join(cls.folder.name, 'models')
        os.mkdir(models)
        os.symlink(model_file(), os.path.join(models, os.path.basename(model_file())))
        os.environ['HEADSCOPE_MODELS'] = models
        cls.server = Server(PROGRAM, os.path.join(cls.folder.name, 'analyses.db'))

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        os.environ.pop('HEADSCOPE_MODELS')
        if MODELS:
            os.environ['HEADSCOPE_MODELS'] = MODELS
        cls.folder.cleanup()

    def open(self, path='/', expect=(), server=None, **looks):
        """A browser at a path. `expect`: patterns of console messages that the test brings about; any other fails it."""
        browser = Browser(**looks)
        browser.home = (server or self.server).address
        self.addCleanup(browser.quit)
        self.addCleanup(self.check, browser, expect)
        browser.driver.get(browser.home + path)
        return browser

    def check(self, browser, expect):
        unexpected = [m for m in browser.messages() if not any(re.search(e, m) for e in expect)]
        self.assertEqual(unexpected, [], 'the console is not silent')
        abroad = [a for a in browser.addresses() if not a.startswith((browser.home + '/', 'data:', 'blob:', 'about:', 'chrome:'))]
        self.assertEqual(abroad, [], 'the page asks other hosts')

    def write(self, browser, text):
        """Puts a text into the box as a paste does."""
        browser.wait('document.querySelector("#model strong")')
        browser.js('const box = document.getElementById("text"); box.value = arguments[0]; box.dispatchEvent(new Event("input"));', text)

    def analyse(self, browser, text=TEXT):
        self.write(browser, text)
        browser.wait('!document.getElementById("analyse").disabled')
        browser.driver.find_element(By.ID, 'analyse').click()
        browser.wait(DONE, 90)

    def head(self, browser):
        return browser.js('return document.querySelector(".head-name").textContent')

    def cell(self, browser, layer, head):
        """Where the middle of a head's cell is, from the middle of the canvas."""
        x, y = browser.js('''const { left, top, pitch, cell } = document.querySelector(".grid-panel").dataset;
            const box = document.querySelector("#grid canvas").getBoundingClientRect();
            return [+left + arguments[0] * pitch + cell / 2 - box.width / 2, +top + arguments[1] * pitch + cell / 2 - box.height / 2];''', layer, head)
        return browser.driver.find_element(By.CSS_SELECTOR, '#grid canvas'), round(x), round(y)

    def pixels_of_cell(self, browser, layer, head):
        return browser.js('''const { left, top, pitch, cell } = document.querySelector(".grid-panel").dataset;
            const copy = Object.assign(document.createElement("canvas"), { width: cell, height: cell });
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(document.querySelector("#grid canvas"), -left - arguments[0] * pitch, -top - arguments[1] * pitch);
            return [...new Uint32Array(context.getImageData(0, 0, cell, cell).data.buffer)];''', layer, head)

    def click_head(self, browser, layer, head):
        canvas, x, y = self.cell(browser, layer, head)
        ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y).click().perform()
        browser.wait(f'document.querySelector(".head-name").textContent === "{layer}.{head}"')

    def point(self, browser, query, key, n):
        """Moves the pointer over a weight of the fitted map; returns the number that the page then reads out."""
        x, y = browser.js('''const canvas = document.querySelector(".map-canvas");
            canvas.scrollIntoView({ block: "center" });
            const { x, y, size } = canvas.dataset;
            const at = (token, from, whole) => +from + (token + 0.5) / arguments[2] * size - whole / 2;
            const box = canvas.getBoundingClientRect();
            return [at(arguments[1], x, box.width), at(arguments[0], y, box.height)];''', query, key, n)
        canvas = browser.driver.find_element(By.CSS_SELECTOR, '.map-canvas')
        self.pointed = round(x), round(y)
        ActionChains(browser.driver).move_to_element_with_offset(canvas, *self.pointed).perform()
        return float(browser.wait('document.querySelector(".readout b")?.dataset.value'))

    def only_number(self, value):
        """The one weight in an answer, wherever it stands."""
        value = value['weights'] if isinstance(value, dict) else value
        while isinstance(value, list):
            self.assertEqual(len(value), 1)
            value = value[0]
        return value

    def byte_under(self, browser, x, y):
        """Where the colour of the map under a point lies on the ramp, 0..255."""
        return browser.driver.execute_async_script('''const [x, y, answer] = arguments;
            import("/static/colour.js").then(({ byteTable, RAMPS }) => {
                const table = byteTable(RAMPS.light, "sqrt");
                const canvas = document.querySelector(".map-canvas");
                const copy = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
                const context = copy.getContext("2d", { willReadFrequently: true });
                context.drawImage(canvas, -Math.round(canvas.width / 2 + x), -Math.round(canvas.height / 2 + y));
                const pixel = new Uint32Array(context.getImageData(0, 0, 1, 1).data.buffer)[0];
                answer(table.indexOf(pixel));
            });''', x, y)


class MainPath(PageCase):
    def test_from_a_text_to_a_shared_link(self):
        browser = self.open()
        browser.wait('document.querySelector("#model strong")')
        box = browser.driver.find_element(By.ID, 'text')
        box.send_keys(TEXT)
        browser.wait('document.getElementById("count").textContent === "50 tokens"')
        marks = browser.js('return [...document.querySelectorAll(".marks span")].map((s) => s.textContent)')
        self.assertIn(' river', marks + [' river' if ' small' in marks else ''], 'token boundaries stand behind the text')
        box.send_keys(Keys.CONTROL, Keys.ENTER)
        browser.wait(DONE, 60)
        self.assertRegex(browser.js('return location.pathname'), r'^/a/[0-9a-f]{64}$')
        self.assertGreater(len(set(self.pixels_of_cell(browser, 29, 8))), 3, 'the 270th thumbnail is a picture')
        self.assertRegex(browser.js('return document.querySelector(".hidden-mass").textContent'), r'The first token holds 4\d\s% of all attention, hidden here')

        self.click_head(browser, 18, 7)
        identity = browser.js('return location.pathname.slice(3)')
        for query, key in ((38, 2), (38, 15), (23, 9), (49, 0), (7, 7)):
            shown = self.point(browser, query, key, 50)
            exact = get(f'{self.server.address}/api/v1/analyses/{identity}/attention/18/7.json?queries={query}:{query + 1}&keys={key}:{key + 1}')
            self.assertEqual(numpy.float32(shown), numpy.float32(self.only_number(exact)), f'weight of {query} on {key}')
            if key:  # position 0 is left out of the picture
                self.assertAlmostEqual(self.byte_under(browser, *self.pointed) / 255, self.only_number(exact) ** 0.5, delta=0.02)

        self.point(browser, 38, 2, 50)
        ActionChains(browser.driver).click().perform()
        browser.wait('/query=38/.test(location.hash)')
        top = browser.js('return [...document.querySelectorAll(".weights li")].map((l) => l.innerText.replace(/\\s+/g, " "))')
        self.assertRegex(top[0], r'“river” ?2 0\.\d{4}')
        self.assertEqual(browser.js('return document.querySelector(".text .chosen").textContent'), 'small')

        browser.cdp('Browser.grantPermissions', permissions=['clipboardReadWrite', 'clipboardSanitizedWrite'])
        browser.driver.find_element(By.ID, 'copy-link').click()
        browser.wait('document.getElementById("copy-link").textContent === "Copied"')
        link = browser.driver.execute_async_script('navigator.clipboard.readText().then(arguments[0], (e) => arguments[0](String(e)))')
        self.assertEqual(link, browser.js('return location.href'))
        self.assertTrue(link.startswith(self.server.address + '/a/'), link)

        port = self.server.port
        self.server.stop()
        type(self).server = Server(PROGRAM, os.path.join(self.folder.name, 'analyses.db'), port)
        again = self.open(link[len(self.server.address):])
        again.wait(DONE, 60)
        again.wait('document.querySelector(".head-name").textContent === "18.7"')
        again.wait('document.querySelector(".text .chosen")?.textContent === "small"')
        again.wait('document.querySelectorAll(".weights li").length > 0')
        self.assertEqual(top, again.js('return [...document.querySelectorAll(".weights li")].map((l) => l.innerText.replace(/\\s+/g, " "))'))
        self.assertEqual(again.js('return document.getElementById("text").value'), TEXT)

    def test_numbers_scales_and_sinks(self):
        browser = self.open()
        self.analyse(browser)
        press = lambda value: browser.driver.find_element(By.CSS_SELECTOR, f'[data-value="{value}"]').click()
        press('numbers')
        browser.wait('/paint=entropy_normalised/.test(location.hash)')
        names = browser.js('return [...document.querySelectorAll(".toolbar select option")].map((o) => o.value)')
        self.assertIn('induction_mass_without_sinks', names)
        self.assertNotIn('next_mass', names, 'a causal model has no next token')
        low, high = browser.js('return [...document.querySelectorAll(".toolbar .legend span")].map((s) => Number(s.textContent))')
        self.assertLess(low, high)
        press('maps')
        browser.driver.find_element(By.CSS_SELECTOR, '.drawing summary').click()
        for value, part in (('log', 'scale=log'), ('shown', 'sinks=shown'), ('readers', 'side=readers')):
            press(value)
            browser.wait(f'location.hash.includes("{part}")')
        browser.driver.back()  # looks do not fill the history: Back leads to the empty page
        browser.wait('location.pathname === "/" && !document.getElementById("start").hidden')
        browser.driver.forward()
        browser.wait(DONE)
        browser.wait('document.querySelector(\'[data-value="readers"]\').getAttribute("aria-checked") === "true"')

    def test_zoom_into_a_long_text(self):
        browser = self.open()
        self.analyse(browser, LONG[:2600])
        n = int(re.match(r'\d+', browser.js('return document.getElementById("count").textContent').replace(',', ''))[0])
        self.assertGreater(n, 600, 'several tiles, and rows fetched one by one')
        self.click_head(browser, 17, 3)
        identity = browser.js('return location.pathname.slice(3)')
        whole = "document.querySelector('[aria-label=\"The whole map\"]').disabled"
        actions = ActionChains(browser.driver)
        self.point(browser, 500, 300, n)
        self.assertTrue(browser.js(f'return {whole}'))
        actions.double_click().perform()
        browser.wait(f'!{whole}')
        for _ in range(4):
            browser.js('document.querySelector("[aria-label=Closer]").click()')
        canvas = browser.driver.find_element(By.CSS_SELECTOR, '.map-canvas')
        ActionChains(browser.driver).move_to_element_with_offset(canvas, -20, 40).click_and_hold().move_by_offset(15, -25).release().perform()
        for x, y in ((-60, 90), (10, 30), (45, 70)):
            ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y).perform()
            shown = float(browser.wait('document.querySelector(".readout b")?.dataset.value'))
            query, key = browser.js('return [...document.querySelectorAll(".readout span")].map((s) => Number(/\\d+$/.exec(s.textContent)[0]))')
            exact = get(f'{self.server.address}/api/v1/analyses/{identity}/attention/17/3.json?queries={query}:{query + 1}&keys={key}:{key + 1}')
            self.assertEqual(numpy.float32(shown), numpy.float32(self.only_number(exact)), f'weight of {query} on {key}')
            self.assertAlmostEqual(self.byte_under(browser, x, y) / 255, self.only_number(exact) ** 0.5, delta=0.02)
        browser.js('document.querySelector("[aria-label=\\"The whole map\\"]").click()')
        browser.wait(whole)

    def test_typing_in_a_drawn_text(self):
        browser = self.open()
        self.analyse(browser, 'The old bridge is quiet.')
        first, tokens = browser.js('return [location.pathname, document.getElementById("count").textContent]')
        field = browser.driver.find_element(By.ID, 'text')
        field.send_keys(Keys.CONTROL, Keys.END)
        field.send_keys(' The old bridge')
        # the draft is drawn, its head readable, the button never turned, and the address still that of what is kept
        browser.wait('document.title.includes("The old bridge is quiet. The old")')
        browser.wait(f'document.getElementById("count").textContent !== "{tokens}"')
        self.assertEqual(browser.js('return document.getElementById("analyse").textContent'), 'Analyse')
        # once typing rests it is kept: another address, in the place of the first
        browser.wait(f'location.pathname !== "{first}" && {DONE}')
        kept = browser.js('return location.pathname')
        self.assertEqual(get(browser.home + '/api/v1/analyses' + kept[2:])['text'], 'The old bridge is quiet. The old bridge')
        listed = [a['excerpt'] for a in get(browser.home + '/api/v1/analyses?limit=10')['items']]
        self.assertNotIn('The old bridge is quiet. The', listed)

    def test_history(self):
        browser = self.open()
        self.analyse(browser, 'One text to be forgotten, one text to be kept.')
        path = browser.js('return location.pathname')
        browser.driver.find_element(By.ID, 'open-history').click()
        browser.wait('document.querySelector("#history .excerpt")?.textContent.startsWith("One text to be forgotten")')
        browser.driver.find_element(By.CSS_SELECTOR, '#history .past button').click()
        browser.wait('/Forgotten/.test(document.querySelector("#history").innerText)')
        gone = self.open(path, expect=[r'analyses/[0-9a-f]+/stream.* 404'])
        gone.wait('/Not here/.test(document.getElementById("notice").innerText)')


class Questions(PageCase):
    """What the views beside Heads ask and answer."""

    def order(self, browser):
        return browser.js('return [...document.querySelectorAll(".ranking li b")].map((b) => b.textContent)')

    def test_find_a_head(self):
        browser = self.open()
        self.analyse(browser)
        browser.driver.find_element(By.CSS_SELECTOR, '.views [data-view="find"]').click()
        token = lambda i: browser.driver.find_element(By.ID, f'span-{i}')
        browser.wait('document.getElementById("span-38")?.offsetParent')
        token(38).click()
        browser.wait('/from=38%3A39/.test(location.hash)')
        token(2).click()
        browser.wait('/to=2%3A3/.test(location.hash)')
        self.assertRegex(browser.js('return document.querySelector(".question").innerText.replace(/\\s+/g, " ")'), r'from “small” ?38 to “river” ?2')
        browser.wait('document.querySelectorAll(".ranking .lift").length === 40')
        identity = browser.js('return location.pathname.slice(3)')
        exact = get(f'{self.server.address}/api/v1/analyses/{identity}/between?queries=38:39&keys=2:3')
        self.assertEqual(self.order(browser), [f'{i["layer"]}.{i["head"]}' for i in exact['items'][:40]])
        shown = browser.js('return [...document.querySelectorAll(".ranking .value")].map((v) => Number(v.textContent))')
        for value, item in zip(shown, exact['items']):
            self.assertAlmostEqual(value, item['weight'], delta=0.0051)
        best = exact['items'][0]
        # the heads that answer keep their light, the others recede
        dark = lambda layer, head: sum(255 - (pixel & 255) for pixel in self.pixels_of_cell(browser, layer, head))
        last = exact['items'][-1]
        lit, unlit = dark(best['layer'], best['head']), dark(last['layer'], last['head'])
        browser.driver.find_element(By.CSS_SELECTOR, '.views [data-view="heads"]').click()
        browser.wait('!/view=/.test(location.hash)')
        time.sleep(0.2)  # a frame
        self.assertLess(unlit, 0.5 * dark(last['layer'], last['head']))
        self.assertGreater(lit, 0.9 * dark(best['layer'], best['head']))
        browser.driver.back()
        browser.driver.forward()

        # spans, by dragging and by the keyboard; a link keeps the question
        browser.driver.find_element(By.CSS_SELECTOR, '.views [data-view="find"]').click()
        browser.driver.find_element(By.CSS_SELECTOR, '.slot.from').click()
        ActionChains(browser.driver).click_and_hold(token(37)).move_to_element(token(40)).release().perform()
        browser.wait('/from=37%3A41/.test(location.hash)')
        browser.js('document.querySelector(".spans").focus()')
        ActionChains(browser.driver).send_keys(Keys.HOME, Keys.ARROW_RIGHT).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).send_keys(Keys.ENTER).perform()
        browser.wait('/to=1%3A3/.test(location.hash)')
        again = self.open(browser.js('return location.pathname + location.hash'))
        again.wait('document.querySelectorAll(".ranking .lift").length === 40')
        exact = get(f'{self.server.address}/api/v1/analyses/{identity}/between?queries=37:41&keys=1:3')
        self.assertEqual(self.order(again), [f'{i["layer"]}.{i["head"]}' for i in exact['items'][:40]])

    def test_depth_and_groups(self):
        browser = self.open()
        self.analyse(browser)
        identity = browser.js('return location.pathname.slice(3)')
        browser.driver.find_element(By.CSS_SELECTOR, '.views [data-view="depth"]').click()
        browser.wait('[...document.querySelectorAll("#depth canvas")].filter((c) => c.offsetParent).length === 3')
        words = browser.js('return document.querySelector(".layer-label").innerText')
        layer = int(self.head(browser).split('.')[0])
        heads = [item for item in get(f'{self.server.address}/api/v1/analyses/{identity}/heads.json')['items'] if item['layer'] == layer]
        sinks = [item['sink_mass'] for item in heads]
        self.assertIn(f'mean {numpy.mean(sinks):.2f}, heads {min(sinks):.2f} to {max(sinks):.2f}', words)
        strip, grid = browser.js('return [document.querySelector(".layer-strips canvas"), document.querySelector("#grid .grid-scroll > canvas")].map((c) => c.clientWidth)')
        self.assertEqual(strip, grid, 'the strips stand over the columns')

        browser.driver.find_element(By.CSS_SELECTOR, '.views [data-view="groups"]').click()
        for by in ('js', 'cka'):
            browser.driver.find_element(By.CSS_SELECTOR, f'#groups [data-value="{by}"]').click()
            found = get(f'{self.server.address}/api/v1/analyses/{identity}/similarity.json?by={by}')
            browser.wait(f'document.querySelector("#groups p").textContent.startsWith("{found["cluster_count"]} groups of 270 heads")')
            sizes = [found['clusters'].count(group) for group in range(8)]
            self.assertEqual(browser.js('return [...document.querySelectorAll(".group-list b")].map((b) => b.textContent)'), [f'{s} heads' for s in sizes if s > 1])
        browser.driver.find_element(By.CSS_SELECTOR, '.group-list button').click()
        browser.wait('/view=groups/.test(location.hash) && /by=cka/.test(location.hash) && /group=0/.test(location.hash)')

    def test_compare_two_texts(self):
        browser = self.open()
        first = 'When Mary and John went to the store, John gave a bottle of milk to Mary.'
        second = 'When Mary and John went to the store, Mary gave a bottle of milk to John.'
        self.analyse(browser, first)
        identity = browser.js('return location.pathname.slice(3)')
        browser.driver.find_element(By.CSS_SELECTOR, '.views [data-view="compare"]').click()
        browser.wait('document.querySelector("#compare textarea").value.startsWith("When Mary and John")')
        browser.js('document.querySelector("#compare textarea").value = arguments[0]', second)
        browser.driver.find_element(By.CSS_SELECTOR, "#compare .primary").click()
        other = browser.wait('/against=([0-9a-f]{64})/.exec(location.hash)?.[1]')
        exact = get(f'{self.server.address}/api/v1/compare?a={identity}&b={other}')
        browser.wait('!document.getElementById("difference").hidden')
        self.assertEqual(browser.js('return [...document.querySelectorAll(".compare-text .differs")].map((s) => s.textContent)'), [' John', ' Mary', ' Mary', ' John'])
        self.assertEqual(self.order(browser), [f'{i["layer"]}.{i["head"]}' for i in exact['items'][:40]])
        layer, head = exact['items'][0]['layer'], exact['items'][0]['head']
        self.assertEqual(browser.js('return document.querySelector("#difference .head-name").textContent'), f'{layer}.{head}')
        # the number under the pointer, and its colour: purple where there is less, green where there is more
        m = len(exact['aligned'])
        with urllib.request.urlopen(f'{self.server.address}/api/v1/compare/{layer}/{head}.npy?a={identity}&b={other}', timeout=60) as answer:
            change = numpy.load(io.BytesIO(answer.read()))
        for query, key in (numpy.unravel_index(change.argmax(), change.shape), numpy.unravel_index(change.argmin(), change.shape)):
            place = browser.js('''const canvas = document.querySelector("#difference .map-canvas");
                canvas.scrollIntoView({ block: "center" });
                const { x, y, size } = canvas.dataset;
                return [+x + (arguments[1] + 0.5) / arguments[2] * size, +y + (arguments[0] + 0.5) / arguments[2] * size, canvas.clientWidth, canvas.clientHeight];''',
                               int(query), int(key), m)
            canvas = browser.driver.find_element(By.CSS_SELECTOR, '#difference .map-canvas')
            ActionChains(browser.driver).move_to_element_with_offset(canvas, round(place[0] - place[2] / 2), round(place[1] - place[3] / 2)).perform()
            shown = float(browser.wait('document.querySelector("#difference .second-readout b")?.dataset.value'))
            self.assertEqual(numpy.float32(shown), change[query, key])
            red, green = browser.js('''const copy = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
                copy.drawImage(document.querySelector("#difference .map-canvas"), -Math.round(arguments[0]), -Math.round(arguments[1]));
                return [...copy.getImageData(0, 0, 1, 1).data];''', place[0], place[1])[:2]
            self.assertEqual(green > red, change[query, key] > 0)

    def test_a_second_head_and_what_is_moved(self):
        browser = self.open()
        self.analyse(browser)
        self.click_head(browser, 18, 7)
        identity = browser.js('return location.pathname.slice(3)')
        canvas, x, y = self.cell(browser, 17, 3)
        ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y).key_down(Keys.SHIFT).click().key_up(Keys.SHIFT).perform()
        browser.wait('/beside=17.3/.test(location.hash) && document.querySelector("#beside .head-name").textContent === "17.3"')
        self.point(browser, 38, 2, 50)
        exact = get(f'{self.server.address}/api/v1/analyses/{identity}/attention/17/3.json?queries=38:39&keys=2:3')
        shown = float(browser.wait('document.querySelector("#beside .second-readout b")?.dataset.value'))
        self.assertEqual(numpy.float32(shown), numpy.float32(self.only_number(exact)), 'both maps show the same two tokens')
        browser.driver.find_element(By.CSS_SELECTOR, '#map [data-value="value"]').click()
        browser.wait('/weighting=value/.test(location.hash)')
        browser.js('document.querySelector(".map-canvas").blur()')
        ActionChains(browser.driver).move_by_offset(0, -300).perform()
        shown = self.point(browser, 38, 2, 50)
        with urllib.request.urlopen(f'{self.server.address}/api/v1/analyses/{identity}/attention/18/7.npy?weighting=value', timeout=60) as answer:
            moved = numpy.load(io.BytesIO(answer.read()))
        self.assertAlmostEqual(shown, moved[38, 2] / moved.max(), delta=1e-6)
        browser.wait('/of the largest/.test(document.querySelector(".readout").innerText)')

    def test_syntax_and_a_private_link(self):
        browser = self.open()
        self.analyse(browser, 'The cat sat.')
        identity = browser.js('return location.pathname.slice(3)')
        parse = '1\tThe\tthe\tDET\t_\t_\t2\tdet\t_\t_\n2\tcat\tcat\tNOUN\t_\t_\t3\tnsubj\t_\t_\n3\tsat\tsit\tVERB\t_\t_\t0\troot\t_\t_\n4\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_\n'
        request = urllib.request.Request(f'{self.server.address}/api/v1/analyses/{identity}/syntax', json.dumps({'conllu': parse}).encode(),
                                         {'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, timeout=60) as answer:
            exact = json.load(answer)['relations']
        browser.driver.find_element(By.CSS_SELECTOR, '.views [data-view="syntax"]').click()
        browser.wait('!document.getElementById("syntax").hidden')
        browser.js('document.querySelector("#syntax textarea").value = arguments[0]', parse)
        browser.driver.find_element(By.CSS_SELECTOR, '#syntax .primary').click()
        browser.wait(f'document.querySelectorAll("#syntax tbody tr").length === {len(exact)}')
        browser.driver.find_element(By.CSS_SELECTOR, '#syntax tbody button').click()
        name, way = browser.js('return [...document.querySelector("#syntax tbody tr").children].slice(0, 2).map((c) => c.textContent)')
        relation = next(r for r in exact if r['relation'] == name and (r['direction'] == 'to_head') == way.startswith('dependent'))
        browser.wait(f'document.querySelector(".head-name").textContent === "{relation["best"]["layer"]}.{relation["best"]["head"]}"')
        values = browser.js('return [...document.querySelectorAll(".ranking .value")].map((v) => v.textContent)')
        self.assertEqual(values, [f'{v:.2f}' for v in sorted((v for v in relation['accuracy'] if v is not None), reverse=True)][:40])

        browser.driver.find_element(By.ID, 'copy-link').click()
        make = browser.wait('document.querySelector(".share:not([hidden]) button:not([hidden])")')
        make.click()
        link = browser.wait('document.querySelector(".share input").value')
        self.assertRegex(link, r'/s/[0-9a-zA-Z_-]{16,}$')
        self.open(link[len(self.server.address):]).wait('location.hash.includes("view=syntax") || !document.getElementById("syntax").hidden')
        browser.wait('document.querySelector(".share button:nth-of-type(2):not([hidden])")').click()
        browser.wait('/Taken back/.test(document.querySelector(".share").innerText)')
        gone = self.open(link[len(self.server.address):], expect=[r'shares/.* 404'])
        gone.wait('/does not open/.test(document.getElementById("notice").innerText)')

    def test_from_a_weight_to_the_heads_that_share_it(self):
        browser = self.open()
        self.analyse(browser)
        self.click_head(browser, 18, 7)
        browser.driver.find_element(By.ID, 'token-38').click()
        browser.wait('/“river” from “small”/.test(document.querySelector(".wider")?.innerText)')
        browser.driver.find_element(By.CSS_SELECTOR, '.wider').click()
        browser.wait('/view=find/.test(location.hash) && /from=38%3A39&to=2%3A3/.test(location.hash)')


class Looks(PageCase):
    def test_units(self):
        browser = self.open()
        with open(os.path.join(HERE, 'unit_tests.js'), encoding='utf-8') as file:
            answer = browser.cdp('Runtime.evaluate', expression=file.read(), awaitPromise=True, returnByValue=True)
        self.assertNotIn('exceptionDetails', answer, json.dumps(answer.get('exceptionDetails'), indent=1))
        result = answer['result']['value']
        print(f'{result["checks"]} checks of the pure modules', flush=True)
        self.assertEqual(result['failures'], [])

    def test_keyboard(self):
        browser = self.open()
        self.analyse(browser)
        browser.js('document.querySelector(".grid-scroll").focus()')
        before = self.head(browser)
        layer, head = map(int, before.split('.'))
        steps = ((Keys.ARROW_RIGHT, layer + 1, head), (Keys.ARROW_UP, layer + 1, head - 1), (Keys.HOME, 0, head - 1), (Keys.ARROW_LEFT, 0, head - 1),
                 (Keys.PAGE_DOWN, 0, 8), (Keys.END, 29, 8))
        for key, to_layer, to_head in steps:
            ActionChains(browser.driver).send_keys(key).perform()
            browser.wait(f'document.querySelector(".head-name").textContent === "{to_layer}.{to_head}"')
        self.assertIn('Layer 29, head 8', browser.js('return document.getElementById("grid-cell").textContent'))

        browser.js('document.querySelector(".text").focus()')
        for key, token in ((Keys.HOME, 0), (Keys.ARROW_RIGHT, 1), (Keys.ARROW_RIGHT, 2), (Keys.END, 49), (Keys.ARROW_LEFT, 48)):
            ActionChains(browser.driver).send_keys(key).perform()
            browser.wait(f'document.querySelector(".text .chosen")?.dataset.i === "{token}"')
        ActionChains(browser.driver).send_keys(Keys.ARROW_UP).perform()
        browser.wait('Number(document.querySelector(".text .chosen").dataset.i) < 45')

        browser.js('document.querySelector(".map-canvas").focus()')
        ActionChains(browser.driver).send_keys(Keys.ARROW_UP).perform()
        browser.wait('document.querySelector(".readout b")?.dataset.value')
        ActionChains(browser.driver).send_keys('+').perform()
        browser.wait('!document.querySelector("[aria-label=\'The whole map\']").disabled')
        ActionChains(browser.driver).send_keys('0').perform()
        browser.wait('document.querySelector("[aria-label=\'The whole map\']").disabled')

    def test_every_control_is_reached_by_tab(self):
        browser = self.open()
        self.analyse(browser)
        browser.js('document.getElementById("home").focus()')
        seen = []
        for _ in range(90):
            ActionChains(browser.driver).send_keys(Keys.TAB).perform()
            name = browser.js('''const e = document.activeElement;
                return e === document.body ? "" : e.id || e.className || e.getAttribute("aria-label") || e.textContent;''')
            if name in ('', 'home'):
                break
            seen.append(name)
        for wanted in ('text', 'analyse', 'grid-scroll', 'map-canvas', 'text', 'open-history', 'open-help', 'copy-link'):
            self.assertIn(wanted, seen)

    def test_dark(self):
        browser = self.open(dark=True)
        self.analyse(browser)
        self.assertEqual(browser.js('return getComputedStyle(document.body).backgroundColor'), 'rgb(14, 15, 19)')
        def empty():  # the upper right of a causal map
            pixels = self.pixels_of_cell(browser, 0, 0)
            side = round(len(pixels) ** 0.5)
            return [pixels[4 * side - 4] >> shift & 255 for shift in (0, 8, 16)]
        self.assertEqual(empty(), [11, 12, 16], 'zero is the dark ramp\'s first colour')
        browser.driver.find_element(By.CSS_SELECTOR, '.foot [data-value="light"]').click()
        browser.wait('getComputedStyle(document.body).backgroundColor === "rgb(251, 251, 249)"')
        time.sleep(0.2)  # a frame
        self.assertEqual(empty(), [255, 255, 255])
        browser.driver.refresh()
        browser.wait(DONE)
        self.assertEqual(browser.js('return document.documentElement.dataset.theme'), 'light', 'the choice is kept')

    def test_phone(self):
        for path_text in (None, TEXT):
            browser = self.open(width=390, height=844, phone=True)
            if path_text:
                self.analyse(browser, path_text)
                self.assertRegex(browser.js('return document.querySelector(".grid-hint").textContent'), r'Layers 0 to \d+ of 30')
            self.assertEqual(browser.js('return document.documentElement.scrollWidth'), 390, 'the page does not scroll sideways')
            small = browser.js('''return [...document.querySelectorAll("button, select, a[href]")].filter((e) => e.offsetParent && !e.closest("p, .term, dl, .number"))
                .map((e) => [e.textContent.slice(0, 20), e.getBoundingClientRect().height]).filter(([, height]) => height > 0 && height < 24);''')
            self.assertEqual(small, [], 'fingers need 24 pixels')

    def test_fingers(self):
        browser = self.open(width=390, height=844, phone=True)
        self.analyse(browser)
        left, top = browser.js('''const canvas = document.querySelector(".map-canvas");
            canvas.scrollIntoView({ block: "center" });
            const box = canvas.getBoundingClientRect();
            return [box.left, box.top];''')
        x, y = left + 120, top + 230

        def touch(kind, *points):
            browser.cdp('Input.dispatchTouchEvent', type=kind, touchPoints=[{'x': px, 'y': py, 'id': i} for i, (px, py) in enumerate(points)])

        touch('touchStart', (x, y))
        touch('touchEnd')
        browser.wait('/query=\\d+/.test(location.hash) && document.querySelector(".readout b")?.dataset.value')
        touch('touchStart', (x - 20, y), (x + 20, y))
        for step in range(1, 11):
            touch('touchMove', (x - 20 - 6 * step, y), (x + 20 + 6 * step, y))
        touch('touchEnd')
        browser.wait('!document.querySelector("[aria-label=\\"The whole map\\"]").disabled')
        self.assertEqual(browser.js('return visualViewport.scale'), 1, 'the map has grown, not the page')

    def test_awkward_texts(self):
        browser = self.open()
        for text in ('Za\u017c\u00f3\u0142\u0107 \u6771\u4eac\u306f\u4eca\u65e5\u3082 \u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645! \U0001f469\u200d\U0001f680\U0001f680',
                     'x', '<b>bold</b> <img src=x onerror=alert(1)> &amp; <|im_end|>', '  \n\n\ttabs\n'):
            with self.subTest(text=text):
                self.analyse(browser, text)
                self.assertEqual(browser.js('return document.querySelectorAll(".text img, .text b, .marks img").length'), 0)
                browser.driver.find_element(By.ID, 'home').click()
                browser.wait('!document.getElementById("start").hidden')


class States(PageCase):
    def test_too_long(self):
        browser = self.open()
        self.write(browser, 'hello ' * 9000)
        words = browser.wait('/at most/.test(document.getElementById("count").textContent) && document.getElementById("count").textContent')
        self.assertRegex(words, r'9,00\d tokens; this model reads 8,192 at most')
        self.assertTrue(browser.js('return document.getElementById("analyse").disabled'))

    def test_cancel(self):
        browser = self.open()
        self.write(browser, LONG)
        browser.wait('!document.getElementById("analyse").disabled')
        browser.driver.find_element(By.ID, 'analyse').click()
        browser.wait('Number(document.querySelector(".grid-panel").dataset.arrived) >= 1', 60)
        self.assertLess(int(browser.js('return document.querySelector(".grid-panel").dataset.arrived')), 30, 'the text is long enough to be cancelled')
        browser.driver.find_element(By.ID, 'analyse').click()
        browser.wait('/Cancelled/.test(document.getElementById("notice").innerText)')
        self.assertEqual(browser.js('return document.getElementById("analyse").textContent'), 'Analyse')
        arrived = browser.js('return document.querySelector(".grid-panel").dataset.arrived')
        time.sleep(1)
        self.assertEqual(browser.js('return document.querySelector(".grid-panel").dataset.arrived'), arrived, 'nothing arrives afterwards')
        self.assertEqual(browser.js('return location.pathname'), '/')

    def test_server_gone(self):
        server = Server(PROGRAM, os.path.join(self.folder.name, 'gone.db'))
        browser = self.open(server=server, expect=[r'ERR_CONNECTION_REFUSED', r'ERR_EMPTY_RESPONSE', r'ERR_CONNECTION_RESET', r'ERR_INCOMPLETE'])
        self.analyse(browser)
        server.stop()
        self.write(browser, TEXT + ' It is gone.')
        browser.js('document.getElementById("analyse").click()')
        browser.wait('/The server is gone/.test(document.getElementById("notice").innerText)')
        self.assertEqual(browser.js('return document.querySelector(".grid-panel").dataset.arrived'), '30', 'what is drawn stays')
        back = Server(PROGRAM, os.path.join(self.folder.name, 'gone.db'), server.port)
        self.addCleanup(back.stop)
        browser.js('[...document.querySelectorAll("#notice button")].find((b) => b.textContent === "Try again").click()')
        browser.wait(f'{DONE} && document.getElementById("notice").hidden', 60)

    def test_waiting(self):
        first, second = self.open(), self.open()
        self.write(second, 'A short text waits behind a long one.')
        second.wait('!document.getElementById("analyse").disabled')
        self.write(first, 'While this runs others wait. ' + LONG)
        first.wait('!document.getElementById("analyse").disabled')
        first.driver.find_element(By.ID, 'analyse').click()
        first.wait('Number(document.querySelector(".grid-panel").dataset.arrived) >= 1', 60)
        second.driver.find_element(By.ID, 'analyse').click()
        second.wait('document.getElementById("timing").textContent === "Waiting in the queue"')
        first.driver.find_element(By.ID, 'analyse').click()  # cancels
        second.wait(DONE, 30)

    def test_link_without_its_model(self):
        browser = self.open()
        self.analyse(browser, 'The maps of this text are gone, the maps of this text are not.')
        link = browser.js('return location.pathname + location.hash')
        with tempfile.TemporaryDirectory(prefix='headscope-empty-') as empty:
            port = self.server.port
            self.server.stop()
            cache = os.path.join(self.folder.name, 'analyses.db')
            bare = Server(PROGRAM, cache, environment={'HEADSCOPE_MODELS': empty})
            again = self.open(link, server=bare, expect=[r'status of 409'])
            again.wait(DONE)
            again.wait('/thumbnail, enlarged/.test(document.querySelector(".map-words").textContent)')
            self.assertGreater(len(set(self.pixels_of_cell(again, 29, 8))), 3, 'thumbnails need no model')
            bare.stop()
            type(self).server = Server(PROGRAM, cache, port)

    def test_models(self):
        """Two models that open and a file that does not: the sheet tells them apart, and the choice goes with the next text."""
        with tempfile.TemporaryDirectory(prefix='headscope-models-') as folder:
            os.symlink(model_file(), os.path.join(folder, os.path.basename(model_file())))
            os.symlink(os.path.join(os.path.dirname(HERE), 'golden', 'zoo', 'qwen3'), os.path.join(folder, 'Tiny'))
            with open(os.path.join(folder, 'torn.gguf'), 'wb') as torn:
                torn.write(b'GGUF\3\0\0\0')
            server = Server(PROGRAM, os.path.join(folder, 'a.db'), environment={'HEADSCOPE_MODELS': folder})
            self.addCleanup(server.stop)
            browser = self.open(server=server)
            browser.wait('document.querySelector("#model strong")?.textContent === "smollm2-135m-instruct"')
            browser.driver.find_element(By.CSS_SELECTOR, '#model button').click()
            browser.wait('document.getElementById("models").open')
            self.assertEqual(browser.js('return document.activeElement.dataset.model'), 'smollm2-135m-instruct', 'the chosen one has the keyboard')
            broken = browser.js('return document.querySelector(".models.broken").innerText')
            self.assertRegex(broken, r'torn\n.+')
            self.assertRegex(browser.js('return document.querySelector("[data-model=tiny]").innerText'), r'qwen3[\s\S]*token ids only')
            browser.driver.find_element(By.CSS_SELECTOR, '[data-model=tiny]').click()
            browser.wait('!document.getElementById("models").open && document.querySelector("#model strong").textContent === "tiny"')
            browser.driver.refresh()
            browser.wait('document.querySelector("#model strong")?.textContent === "tiny"')

    def test_sections(self):
        """An encoder and a decoder: three views of one analysis, cross-attention from the target to the source."""
        with tempfile.TemporaryDirectory(prefix='headscope-models-') as folder:
            os.symlink(os.path.join(os.path.dirname(HERE), 'golden', 'zoo', 't5'), os.path.join(folder, 't5'))
            server = Server(PROGRAM, os.path.join(folder, 'a.db'), environment={'HEADSCOPE_MODELS': folder})
            self.addCleanup(server.stop)
            body = {'model': 't5', 'token_ids': list(range(3, 27)), 'target_ids': [0, *range(30, 45)]}
            request = urllib.request.Request(f'{server.address}/api/v1/analyses', json.dumps(body).encode(), {'Content-Type': 'application/json'})
            with urllib.request.urlopen(request, timeout=60) as answer:
                document = json.load(answer)
            browser = self.open(f'/a/{document["id"]}', server=server)
            browser.wait('document.querySelector(".sections [aria-checked=true]")?.dataset.value === "decoder"')
            self.assertEqual(browser.js('return [...document.querySelectorAll(".text span")].length'), 16, 'the target is read')
            browser.driver.find_element(By.CSS_SELECTOR, '.sections [data-value="cross"]').click()
            browser.wait('document.querySelectorAll(".text span").length === 16 + 24')
            browser.wait('document.querySelector(".weights .value") && !document.querySelector(".reading.waiting")')
            layer, head = map(int, self.head(browser).split('.'))
            with urllib.request.urlopen(f'{server.address}/api/v1/analyses/{document["id"]}/attention/{layer}/{head}.npy?section=cross', timeout=60) as answer:
                weights = numpy.load(io.BytesIO(answer.read()))
            self.assertEqual(weights.shape, (16, 24))
            browser.driver.find_element(By.ID, 'token-5').click()
            browser.wait('/#34/.test(document.querySelector(".reading-title").textContent)')
            browser.wait(f'document.querySelector(".weights .value").textContent === "{numpy.sort(weights[5, 1:])[-1]:.4f}"')
            self.assertIn('section=cross', browser.wait('location.hash.includes("section=cross") && location.hash'))

    def test_no_model(self):
        with tempfile.TemporaryDirectory(prefix='headscope-empty-') as empty:
            server = Server(PROGRAM, os.path.join(self.folder.name, 'none.db'), environment={'HEADSCOPE_MODELS': empty})
            self.addCleanup(server.stop)
            browser = self.open(server=server)
            browser.wait('/scripts\\/fetch_model/.test(document.getElementById("notice").innerText)')
            self.assertTrue(browser.js('return document.getElementById("analyse").disabled'))


if __name__ == '__main__':
    PROGRAM = os.environ.get('HEADSCOPE') or sys.exit(__doc__)
    unittest.main(verbosity=2)
