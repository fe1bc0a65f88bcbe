<?php
/*
 * onevolume.php [--config FILE] [--log]: tells onevolumed what this Openfiler
 * exports over iSCSI. New logical units become volumes, what changed is
 * corrected, and free volumes whose logical unit is gone are deleted. Nothing
 * that is in use is touched: that is reported, and so is what could not be
 * done. It changes nothing on this machine, and may be run at any time, any
 * number of times.
 *
 * Exit status: 0 all is well, 1 something was reported, 2 nothing was done.
 * With --log, what is new since the last run goes to syslog instead of
 * standard output.
 *
 * Written in the language of PHP 5.2, which Openfiler 2.3 and 2.99 have, and
 * without extensions: lint52.php checks that.
 */

class OvError extends Exception { }

/* A refusal by onevolumed, with its code. */
class OvRefusal extends OvError { }

error_reporting(E_ALL);
ini_set('display_errors', 'stderr');
putenv('LC_ALL=C');
putenv('PATH=' . getenv('PATH') . ':/sbin:/usr/sbin:/bin:/usr/bin');
exit(ov_main($_SERVER['argv']));

function ov_main($argv)
{
    $file = dirname(__FILE__) . '/onevolume.conf';
    $log = false;
    for ($i = 1; $i < count($argv); $i++) {
        if ($argv[$i] === '--log') {
            $log = true;
        } elseif ($argv[$i] === '--config' && isset($argv[$i + 1])) {
            $file = $argv[++$i];
        } else {
            fwrite(STDERR, "usage: onevolume.php [--config FILE] [--log]\n");
            return 2;
        }
    }
    $lines = array();
    try {
        $conf = ov_config($file);
        /* One run after the other; the lock ends with the process. */
        $lock = fopen($file . '.lock', 'a');
        if (!$lock || !flock($lock, LOCK_EX)) {
            throw new OvError("$file.lock cannot be locked");
        }
        $status = ov_run($conf, $lines);
    } catch (OvError $e) {
        $lines[] = 'nothing more was done: ' . $e->getMessage();
        $status = 2;
    }
    if ($log) {
        ov_log($file . '.last', $lines);
    } else {
        foreach ($lines as $line) {
            echo $line, "\n";
        }
    }
    return $status;
}

/* ov_log sends to syslog what the last run did not say. */
function ov_log($last, $lines)
{
    $before = is_file($last) ? explode("\n", ov_read($last)) : array();
    openlog('onevolume', LOG_PID, LOG_DAEMON);
    foreach ($lines as $line) {
        if (!in_array($line, $before, true)) {
            syslog(LOG_NOTICE, $line);
        }
    }
    file_put_contents($last, implode("\n", $lines) . "\n");
}

/* ---- configuration ---- */

/* ov_config reads KEY = VALUE lines. The file holds a login token, so nobody
 * but its owner, who runs this, may read it. */
function ov_config($file)
{
    if (!is_file($file)) {
        throw new OvError("$file does not exist");
    }
    if ((fileperms($file) & 077) !== 0 || fileowner($file) !== fileowner('/proc/self')) {
        throw new OvError("$file holds a login token: it must belong to the user who runs this, mode 600");
    }
    $conf = array('targets' => '*', 'ca' => '', 'root' => '');
    foreach (explode("\n", ov_read($file)) as $n => $line) {
        $line = trim($line);
        if ($line === '' || $line[0] === '#') {
            continue;
        }
        $pair = explode('=', $line, 2);
        $key = trim($pair[0]);
        if (count($pair) !== 2 || !in_array($key, array('endpoint', 'session', 'array', 'portals', 'targets', 'ca', 'root'), true)) {
            throw new OvError("$file, line " . ($n + 1) . ": not one of endpoint, session, array, portals, targets, ca");
        }
        $conf[$key] = trim($pair[1]);
    }
    foreach (array('endpoint', 'session', 'array', 'portals') as $key) {
        if (!isset($conf[$key]) || $conf[$key] === '') {
            throw new OvError("$file: $key is missing");
        }
    }
    return $conf;
}

function ov_read($file)
{
    $text = @file_get_contents($file);
    if ($text === false) {
        throw new OvError("$file cannot be read");
    }
    return $text;
}

/* ---- XML ---- */

/* ov_xml reads a document into array('name', 'attr', 'text', 'kids'). What is
 * not well-formed, or ends early, is an error: a unit that is not understood
 * must not look like one that is gone. */
function ov_xml($text, $what)
{
    if (preg_match('/^<\?xml[^>]*encoding=["\']iso-8859-1["\']/i', $text)) {
        $text = ov_latin1($text);
    }
    if (!preg_match('//u', $text)) {
        throw new OvError("$what is not UTF-8");
    }
    $top = ov_element('', array());
    $open = array(&$top);
    $pos = 0;
    $end = strlen($text);
    while ($pos < $end) {
        $here = count($open) - 1;
        if ($text[$pos] !== '<') {
            $to = strpos($text, '<', $pos);
            if ($to === false) {
                $to = $end;
            }
            $open[$here]['text'] .= ov_entities(substr($text, $pos, $to - $pos), $what);
            $pos = $to;
        } elseif (substr($text, $pos, 9) === '<![CDATA[') {
            $to = ov_until($text, ']]>', $pos, $what);
            $open[$here]['text'] .= substr($text, $pos + 9, $to - $pos - 9);
            $pos = $to + 3;
        } elseif (substr($text, $pos, 4) === '<!--') {
            $pos = ov_until($text, '-->', $pos, $what) + 3;
        } elseif (substr($text, $pos, 2) === '<?') {
            $pos = ov_until($text, '?>', $pos, $what) + 2;
        } elseif (preg_match('/\G<\/([\w.:-]+)\s*>/', $text, $m, 0, $pos)) {
            if ($here === 0 || $open[$here]['name'] !== $m[1]) {
                throw new OvError("$what: </$m[1]> ends what did not begin");
            }
            array_pop($open);
            $pos += strlen($m[0]);
        } elseif (preg_match('/\G<([A-Za-z_][\w.:-]*)((?:\s+[A-Za-z_:][\w.:-]*\s*=\s*(?:"[^<"]*"|\'[^<\']*\'))*)\s*(\/?)>/', $text, $m, 0, $pos)) {
            $open[$here]['kids'][] = ov_element($m[1], ov_attributes($m[2], $what));
            $pos += strlen($m[0]);
            if ($m[3] === '') {
                $open[] = &$open[$here]['kids'][count($open[$here]['kids']) - 1];
            }
        } else {
            throw new OvError("$what is no XML at byte $pos");
        }
    }
    if (count($open) !== 1 || count($top['kids']) !== 1 || trim($top['text']) !== '') {
        throw new OvError("$what is not a whole XML document");
    }
    return $top['kids'][0];
}

function ov_element($name, $attr)
{
    return array('name' => $name, 'attr' => $attr, 'text' => '', 'kids' => array());
}

function ov_until($text, $mark, $pos, $what)
{
    $to = strpos($text, $mark, $pos);
    if ($to === false) {
        throw new OvError("$what ends before $mark");
    }
    return $to;
}

function ov_attributes($text, $what)
{
    $attr = array();
    preg_match_all('/([A-Za-z_:][\w.:-]*)\s*=\s*("[^"]*"|\'[^\']*\')/', $text, $all, PREG_SET_ORDER);
    foreach ($all as $m) {
        $attr[$m[1]] = ov_entities(substr($m[2], 1, -1), $what);
    }
    return $attr;
}

/* ov_entities replaces what stands for a character. The web pages write HTML's
 * names of them, too. */
function ov_entities($text, $what)
{
    if (strpos($text, '&') === false) {
        return $text;
    }
    $out = '';
    foreach (preg_split('/(&[^;&\s]*;?)/', $text, -1, PREG_SPLIT_DELIM_CAPTURE) as $part) {
        if ($part === '' || $part[0] !== '&') {
            $out .= $part;
        } elseif (preg_match('/^&#(?:x([0-9a-f]{1,6})|([0-9]{1,7}));$/i', $part, $m)) {
            $out .= ov_utf8($m[1] !== '' ? hexdec($m[1]) : intval($m[2]));
        } else {
            $plain = $part === '&apos;' ? "'" : html_entity_decode($part, ENT_QUOTES, 'UTF-8');
            if ($plain === $part) {
                throw new OvError("$what: $part stands for nothing");
            }
            $out .= $plain;
        }
    }
    return $out;
}

function ov_utf8($n)
{
    if ($n < 0x80) {
        return chr($n);
    }
    if ($n < 0x800) {
        return chr(0xc0 | $n >> 6) . chr(0x80 | $n & 63);
    }
    if ($n < 0x10000) {
        return chr(0xe0 | $n >> 12) . chr(0x80 | $n >> 6 & 63) . chr(0x80 | $n & 63);
    }
    return chr(0xf0 | $n >> 18 & 7) . chr(0x80 | $n >> 12 & 63) . chr(0x80 | $n >> 6 & 63) . chr(0x80 | $n & 63);
}

function ov_latin1($text)
{
    $out = '';
    for ($i = 0; $i < strlen($text); $i++) {
        $out .= ov_utf8(ord($text[$i]));
    }
    return $out;
}

/* ov_kids are an element's children of a name. */
function ov_kids($element, $name)
{
    $found = array();
    foreach ($element['kids'] as $kid) {
        if ($kid['name'] === $name) {
            $found[] = $kid;
        }
    }
    return $found;
}

/* ov_text is the text of the first child of a name, or nothing. */
function ov_text($element, $name)
{
    $kids = ov_kids($element, $name);
    return $kids ? $kids[0]['text'] : '';
}

function ov_attr($element, $name)
{
    return isset($element['attr'][$name]) ? $element['attr'][$name] : '';
}

/* ---- XML-RPC ---- */

/* ov_call calls a method and gives the value it answers with. An OvRefusal is
 * onevolumed's own word; any other OvError leaves open whether the call was
 * carried out, and the next run looks. */
function ov_call($conf, $method, $params)
{
    $body = '<?xml version="1.0"?><methodCall><methodName>' . $method . '</methodName><params>';
    foreach (array_merge(array($conf['session']), $params) as $p) {
        $value = is_int($p) ? "<i4>$p</i4>" : '<string>' . str_replace(array('&', '<', '>'), array('&amp;', '&lt;', '&gt;'), $p) . '</string>';
        $body .= "<param><value>$value</value></param>";
    }
    $body .= '</params></methodCall>';
    $answer = ov_xml(ov_post($conf, $body), $method);
    $value = ov_kids($answer, 'params');
    foreach (array('param', 'value', 'array', 'data') as $name) {
        $value = $value ? ov_kids($value[0], $name) : array();
    }
    $value = $value ? ov_kids($value[0], 'value') : array();
    if ($answer['name'] !== 'methodResponse' || count($value) < 2) {
        throw new OvError("$method: the answer is none of onevolumed's");
    }
    if (trim(ov_text($value[0], 'boolean')) !== '1') {
        throw new OvRefusal(ov_value($value[1]), isset($value[2]) ? intval(ov_value($value[2])) : 0);
    }
    return ov_value($value[1]);
}

/* ov_value is the text of an XML-RPC value of a simple type. */
function ov_value($value)
{
    return $value['kids'] ? $value['kids'][0]['text'] : $value['text'];
}

/* ov_post sends one request and gives the body of the answer. */
function ov_post($conf, $body)
{
    $url = parse_url($conf['endpoint']);
    if (!$url || !isset($url['scheme']) || !isset($url['host']) || !in_array($url['scheme'], array('http', 'https'), true)) {
        throw new OvError("endpoint: $conf[endpoint] is not http://HOST:2475/RPC2");
    }
    $tls = $url['scheme'] === 'https';
    $port = isset($url['port']) ? $url['port'] : ($tls ? 443 : 80);
    $path = isset($url['path']) ? $url['path'] : '/';
    $options = array();
    if ($tls) {
        $name = version_compare(PHP_VERSION, '5.6.0', '<') ? 'CN_match' : 'peer_name';
        $options['ssl'] = array('verify_peer' => true, $name => $url['host']);
        if ($conf['ca'] !== '') {
            $options['ssl']['cafile'] = $conf['ca'];
        }
    }
    $f = @stream_socket_client(($tls ? 'ssl' : 'tcp') . "://$url[host]:$port", $errno, $why, 10, STREAM_CLIENT_CONNECT, stream_context_create($options));
    if (!$f) {
        throw new OvError("$conf[endpoint] does not answer: $why");
    }
    stream_set_timeout($f, 30);
    fwrite($f, "POST $path HTTP/1.0\r\nHost: $url[host]:$port\r\nContent-Type: text/xml\r\nContent-Length: " . strlen($body) . "\r\nConnection: close\r\n\r\n$body");
    $answer = '';
    while (!feof($f)) {
        $part = fread($f, 65536);
        $state = stream_get_meta_data($f);
        if ($part === false || $state['timed_out'] || strlen($answer) > 64 * 1024 * 1024) {
            throw new OvError("$conf[endpoint] did not answer in time, or too much");
        }
        $answer .= $part;
    }
    fclose($f);
    $parts = explode("\r\n\r\n", $answer, 2);
    if (count($parts) !== 2 || !preg_match('/^HTTP\/1\.[01] ([0-9]{3})/', $parts[0], $m)) {
        throw new OvError("$conf[endpoint] broke off");
    }
    if ($m[1] !== '200') {
        throw new OvError("$conf[endpoint] answers with HTTP status $m[1]");
    }
    if (preg_match('/\nContent-Length:\s*([0-9]+)/i', $parts[0], $m) && strlen($parts[1]) !== intval($m[1])) {
        throw new OvError("$conf[endpoint] broke off");
    }
    return $parts[1];
}

/* ov_quote is a value as a template has it. */
function ov_quote($text)
{
    return '"' . str_replace(array('\\', '"'), array('\\\\', '\\"'), $text) . '"';
}

function ov_template($set)
{
    $lines = array();
    foreach ($set as $key => $value) {
        $lines[] = "$key=" . ov_quote($value);
    }
    return implode("\n", $lines);
}

/* ---- what this machine exports ---- */

/* ov_lines reads a file of /proc/net/iet: array(tabs, words) for each line;
 * path, which comes last, goes to the end of its line. */
function ov_lines($text, $what)
{
    $lines = array();
    foreach (explode("\n", $text) as $n => $line) {
        if (trim($line) === '') {
            continue;
        }
        $rest = ltrim($line, "\t");
        $words = array();
        foreach (explode(' ', $rest) as $word) {
            $pair = explode(':', $word, 2);
            if ($pair[0] === 'path') {
                $words['path'] = substr($rest, strpos($rest, 'path:') + 5);
                break;
            }
            if ($word === '') {
                continue; /* IET ends some lines with a blank */
            }
            if (count($pair) !== 2 || $pair[0] === '' || isset($words[$pair[0]])) {
                throw new OvError("$what, line " . ($n + 1) . ' is not understood');
            }
            $words[$pair[0]] = $pair[1];
        }
        $lines[] = array(strlen($line) - strlen($rest), $words, "$what, line " . ($n + 1));
    }
    return $lines;
}

/* ov_exported reads volume: what IET exports at this moment, by IQN and LUN. */
function ov_exported($text)
{
    $units = array();
    $target = '';
    foreach (ov_lines($text, 'volume') as $line) {
        $w = $line[1];
        if ($line[0] === 0 && isset($w['tid']) && isset($w['name']) && $w['name'] !== '') {
            $target = strtolower($w['name']);
        } elseif ($line[0] === 1 && isset($w['lun']) && $target !== '' && preg_match('/^[0-9]{1,5}$/', $w['lun']) && !isset($units["$target $w[lun]"])) {
            $units["$target $w[lun]"] = array('path' => isset($w['path']) ? $w['path'] : '', 'mode' => isset($w['iomode']) ? $w['iomode'] : '');
        } else {
            throw new OvError("$line[2] is not understood");
        }
    }
    return $units;
}

/* ov_sessions reads session: who is logged in, by IQN. */
function ov_sessions($text)
{
    $who = array();
    $target = '';
    foreach (ov_lines($text, 'session') as $line) {
        $w = $line[1];
        if ($line[0] === 0 && isset($w['tid']) && isset($w['name'])) {
            $target = strtolower($w['name']);
        } elseif ($line[0] === 1 && isset($w['sid']) && isset($w['initiator']) && $target !== '') {
            $who[$target] = $w['initiator'];
        } elseif ($line[0] !== 2 || !isset($w['cid']) || !isset($who[$target])) {
            throw new OvError("$line[2] is not understood");
        }
    }
    return $who;
}

/* ov_configured reads iscsi_settings.xml: the units that the web pages know,
 * by IQN and LUN. Users outside of targets are for discovery. */
function ov_configured($text)
{
    $root = ov_xml($text, 'iscsi_settings.xml');
    $targets = ov_kids($root, 'targets');
    if ($root['name'] !== 'iet' || count($targets) !== 1) {
        throw new OvError('iscsi_settings.xml is not <iet><targets>');
    }
    $units = array();
    foreach (ov_kids($targets[0], 'target') as $t) {
        $iqn = strtolower(ov_attr($t, 'Name'));
        $in = ov_kids($t, 'IncomingUser');
        $out = ov_kids($t, 'OutgoingUser');
        $chap = array(
            'CHAP_USER' => $in ? ov_attr($in[0], 'username') : '', 'CHAP_SECRET' => $in ? ov_attr($in[0], 'password') : '',
            'CHAP_USER_IN' => $out ? ov_attr($out[0], 'username') : '', 'CHAP_SECRET_IN' => $out ? ov_attr($out[0], 'password') : '');
        foreach (ov_kids($t, 'lun') as $l) {
            $lun = ov_attr($l, 'Id');
            if ($iqn === '' || !preg_match('/^[0-9]{1,5}$/', $lun) || isset($units["$iqn $lun"])) {
                throw new OvError("iscsi_settings.xml: target $iqn: \"$lun\" is no number of a logical unit, or is there twice");
            }
            $units["$iqn $lun"] = array('iqn' => $iqn, 'lun' => intval($lun), 'path' => ov_attr($l, 'Path'), 'mode' => ov_attr($l, 'IOMode'),
                'serial' => trim(ov_attr($l, 'ScsiSN')), 'chap' => $chap);
        }
    }
    return $units;
}

/* ov_names reads volumes.xml: descriptions by the devices' paths. */
function ov_names($text)
{
    $root = ov_xml($text, 'volumes.xml');
    if ($root['name'] !== 'volumes') {
        throw new OvError('volumes.xml is not <volumes>');
    }
    $names = array();
    foreach (ov_kids($root, 'volume') as $v) {
        $names['/dev/' . ov_attr($v, 'vg') . '/' . ov_attr($v, 'id')] = ov_attr($v, 'name');
    }
    return $names;
}

/* ov_state puts together what this machine exports: array('units', 'hand',
 * 'who'). The configuration is read first: the web pages change it last. */
function ov_state($conf)
{
    $etc = $conf['root'] . '/opt/openfiler/etc';
    $iet = $conf['root'] . '/proc/net/iet';
    $settings = is_file("$etc/iscsi/targets/iscsi_settings.xml") ? "$etc/iscsi/targets/iscsi_settings.xml" : "$etc/iscsi_settings.xml";
    $units = ov_configured(ov_read($settings));
    $names = is_file("$etc/volumes.xml") ? ov_names(ov_read("$etc/volumes.xml")) : array();
    if (!file_exists("$iet/volume")) {
        throw new OvError('the service iscsi-target does not run; nothing is concluded from that');
    }
    $live = ov_exported(ov_read("$iet/volume"));
    $who = ov_sessions(ov_read("$iet/session"));
    $often = array();
    foreach ($units as $at => $u) {
        $units[$at]['name'] = isset($names[$u['path']]) ? $names[$u['path']] : '';
        $units[$at]['exported'] = isset($live[$at]);
        $units[$at]['trouble'] = '';
        if (isset($live[$at])) {
            $units[$at]['mode'] = $live[$at]['mode'];
            if ($live[$at]['path'] !== $u['path']) {
                $units[$at]['trouble'] = "it is configured as $u[path] and exported as " . $live[$at]['path'];
            }
            unset($live[$at]);
        }
        $often[$u['path']] = isset($often[$u['path']]) ? $often[$u['path']] + 1 : 1;
    }
    foreach ($units as $at => $u) {
        $units[$at]['mapped'] = $often[$u['path']];
        $size = ov_size($u['path']);
        $units[$at]['size'] = $size;
        if (!preg_match('/^[0-9]+$/', $size) && $u['trouble'] === '') {
            $units[$at]['trouble'] = "the size of $u[path] is not known: $size";
        }
    }
    return array('units' => $units, 'hand' => $live, 'who' => $who);
}

/* ov_size is the size of a block device in bytes, as text: a number would be
 * too large where PHP has 32 bits. */
function ov_size($path)
{
    exec('blockdev --getsize64 ' . escapeshellarg($path) . ' 2>&1', $out, $status);
    $text = trim(implode(' ', $out));
    if ($status === 0 && preg_match('/^[1-9][0-9]*$/', $text)) {
        return $text;
    }
    return $text === '' ? "blockdev ended with status $status" : $text;
}

/* ---- bringing the inventory to it ---- */

/* ov_inventory lists all volumes, by IQN and LUN. */
function ov_inventory($conf)
{
    $root = ov_xml(ov_call($conf, 'one.volumepool.info', array(-2, -1, -1)), 'VOLUME_POOL');
    if ($root['name'] !== 'VOLUME_POOL') {
        throw new OvError('one.volumepool.info did not answer with a VOLUME_POOL');
    }
    $volumes = array();
    foreach (ov_kids($root, 'VOLUME') as $v) {
        $chap = ov_kids($v, 'CHAP');
        $volumes[ov_text($v, 'IQN') . ' ' . ov_text($v, 'LUN')] = array(
            'id' => intval(ov_text($v, 'ID')), 'name' => ov_text($v, 'NAME'), 'iqn' => ov_text($v, 'IQN'), 'array' => ov_text($v, 'ARRAY'),
            'made' => ov_text($v, 'ARRAY_ID') !== '', 'state' => ov_text($v, 'STATUS'), 'vm' => ov_text($v, 'VM_ID'), 'size' => ov_text($v, 'SIZE_BYTES'),
            'portals' => ov_text($v, 'PORTALS'), 'serial' => ov_text($v, 'UNIT_SERIAL'),
            'user' => $chap ? ov_text($chap[0], 'USER') : '', 'user_in' => $chap ? ov_text($chap[0], 'USER_IN') : '');
    }
    return $volumes;
}

/* ov_watched says whether the volume was registered for this machine. One that
 * onevolume made here is exported while a host has it, with credentials of its
 * own: onevolume looks after it by itself. */
function ov_watched($conf, $volume)
{
    return $volume['array'] === $conf['array'] && !$volume['made'];
}

/* ov_made says whether what is exported was made by onevolume: the target ends
 * in the volume's name, and the device is called so too. */
function ov_made($iqn, $path)
{
    return preg_match('/(^|:)(ov-[0-9a-f]{32})$/D', $iqn, $m) && basename($path) === $m[2];
}

function ov_free($volume)
{
    return $volume['state'] === 'AVAILABLE' || $volume['state'] === 'RETAINED';
}

/* ov_run does everything once, and says what. */
function ov_run($conf, &$lines)
{
    $state = ov_state($conf);
    $volumes = ov_inventory($conf);
    $ours = 0;
    $working = array(); /* targets with a volume in use: sessions there are no surprise */
    foreach ($volumes as $v) {
        $ours += ov_watched($conf, $v) ? 1 : 0;
        if (!ov_free($v)) {
            $working[$v['iqn']] = true;
        }
    }
    if (!$state['units'] && !$state['hand'] && $ours > 1) {
        throw new OvError("this machine has no logical unit at all, and onevolumed has $ours volumes of it: nothing is concluded from that");
    }
    $reports = 0;
    foreach ($state['units'] as $at => $u) {
        if (ov_made($u['iqn'], $u['path']) || isset($volumes[$at]) && $volumes[$at]['made']) {
            continue;
        }
        $who = isset($state['who'][$u['iqn']]) && !isset($working[$u['iqn']]) ? $state['who'][$u['iqn']] : '';
        try {
            $line = isset($volumes[$at]) ? ov_compare($conf, $u, $volumes[$at], $who) : ov_consider($conf, $u, $who);
        } catch (OvRefusal $e) {
            $line = '! ' . $e->getMessage();
        }
        ov_say($lines, $reports, $line, $at);
    }
    foreach ($state['hand'] as $at => $u) {
        if (!isset($volumes[$at]) && !ov_made(substr($at, 0, strpos($at, ' ')), $u['path']) && fnmatch(strtolower($conf['targets']), substr($at, 0, strpos($at, ' ')))) {
            ov_say($lines, $reports, '! exported by hand and in no configuration; map it in the web pages', $at);
        }
    }
    foreach ($volumes as $at => $v) {
        if (ov_watched($conf, $v) && !isset($state['units'][$at]) && !isset($state['hand'][$at])) {
            try {
                $line = ov_vanished($conf, $v);
            } catch (OvRefusal $e) {
                $line = '! ' . $e->getMessage();
            }
            ov_say($lines, $reports, $line, $at);
        }
    }
    return $reports > 0 ? 1 : 0;
}

/* ov_say keeps a line; one that begins with ! is a report. */
function ov_say(&$lines, &$reports, $line, $at)
{
    if ($line === '') {
        return;
    }
    if ($line[0] === '!') {
        $reports++;
        $line = 'REPORTED:' . substr($line, 1);
    }
    $lines[] = str_replace(' ', ' LUN ', $at) . ": $line";
}

/* ov_consider registers a unit, unless it is none of onevolume's business or
 * must not be. */
function ov_consider($conf, $u, $who)
{
    if ($u['mode'] === 'ro' || strpos(basename($u['path']), 'of.snapshot.') === 0 || !fnmatch(strtolower($conf['targets']), $u['iqn'])) {
        return '';
    }
    if (!$u['exported']) {
        return '! not registered: it is configured and not exported; restart iscsi-target, or unmap it';
    }
    if ($u['trouble'] !== '') {
        return "! not registered: $u[trouble]";
    }
    if ($u['mapped'] > 1) {
        return "! not registered: $u[path] is mapped $u[mapped] times; unmap all but one: two volumes of the same device would overwrite each other";
    }
    if ($who !== '') {
        return "! not registered: $who is logged in to it: somebody uses it";
    }
    return ov_register($conf, $u);
}

function ov_register($conf, $u)
{
    $set = array('IQN' => $u['iqn'], 'LUN' => strval($u['lun']), 'SIZE' => $u['size'] . 'B', 'PORTALS' => $conf['portals'], 'ARRAY' => $conf['array']);
    if ($u['serial'] !== '') {
        $set['UNIT_SERIAL'] = $u['serial'];
    }
    $lv = str_replace('/', '-', substr($u['path'], 5));
    $last = new OvRefusal("no name can be made of $u[path]");
    foreach (array($u['name'], basename($u['path']), $lv, "$conf[array]-$lv", "$conf[array]-$lv-$u[lun]") as $name) {
        /* The characters that OpenNebula takes in no name. */
        $name = trim(preg_replace('/[&|:\\\\";\/\'#{}$<>\x00-\x1f\x7f]/', '_', $name));
        if ($name === '' || preg_match('/^[-+]?[0-9]+$/', $name)) {
            continue;
        }
        try {
            $id = ov_call($conf, 'one.volume.allocate', array(ov_template(array('NAME' => $name) + $set + $u['chap'])));
            return "registered as volume $id ($name), $u[size] bytes";
        } catch (OvRefusal $e) {
            if (strpos($e->getMessage(), 'NAME is already taken') === false) {
                throw $e;
            }
            $last = $e;
        }
    }
    throw $last;
}

/* ov_compare looks at a unit that is registered. */
function ov_compare($conf, $u, $v, $who)
{
    if ($v['array'] !== $conf['array']) {
        return "! volume $v[id] was registered " . ($v['array'] === '' ? 'by hand' : "for array $v[array]") . ' and is left alone';
    }
    if (!$u['exported']) {
        return "! volume $v[id] is configured and not exported at the moment; restart iscsi-target";
    }
    if ($u['trouble'] !== '') {
        return "! volume $v[id]: $u[trouble]";
    }
    if ($u['serial'] !== '' && $v['serial'] !== '' && $u['serial'] !== $v['serial']) {
        $text = "another logical unit stands in the place of volume $v[id]: its serial number is $u[serial], recorded is $v[serial]";
        if ($v['state'] !== 'AVAILABLE' || $who !== '') {
            return "! $text; volume $v[id] is $v[state]" . ($who === '' ? '' : ", and $who is logged in to it");
        }
        ov_call($conf, 'one.volume.delete', array($v['id']));
        return "$text; deleted; " . ov_register($conf, $u);
    }
    $set = array();
    if ($u['size'] !== $v['size']) {
        $set['SIZE'] = $u['size'] . 'B';
    }
    if (ov_portals($conf['portals']) !== ov_portals($v['portals'])) {
        $set['PORTALS'] = $conf['portals'];
    }
    if ($u['serial'] !== '' && $v['serial'] === '') {
        $set['UNIT_SERIAL'] = $u['serial'];
    }
    if ($u['chap']['CHAP_USER'] !== $v['user'] || $u['chap']['CHAP_USER_IN'] !== $v['user_in']) {
        $set['CHAP_USER'] = $u['chap']['CHAP_USER'];
    }
    $what = implode(', ', array_keys($set));
    if ($what !== '' && !ov_free($v)) {
        return "! volume $v[id] is $v[state], and differs in $what; that is corrected once it is free";
    }
    if ($what !== '' && $who !== '') {
        return "! volume $v[id] differs in $what, and $who is logged in to it";
    }
    if (isset($set['SIZE']) && $v['state'] === 'RETAINED' && ov_smaller($u['size'], $v['size'])) {
        return "! volume $v[id] holds its owner's data, and was made smaller: $u[size] bytes instead of $v[size]";
    }
    if ($u['chap']['CHAP_USER'] !== '' || isset($set['CHAP_USER'])) {
        $set = $set + $u['chap'];
        $set['CHAP_USER'] = $u['chap']['CHAP_USER'];
    }
    if ($set && ov_free($v) && $who === '') {
        /* Secrets cannot be seen, so they are sent each time; an update that
         * changes nothing leaves no trace. */
        ov_call($conf, 'one.volume.update', array($v['id'], ov_template($set), 1));
    }
    return $what === '' ? '' : "volume $v[id]: updated $what";
}

function ov_smaller($a, $b)
{
    return strlen($a) < strlen($b) || strlen($a) === strlen($b) && strcmp($a, $b) < 0;
}

/* ov_portals is a list of portals with the port that is meant. */
function ov_portals($text)
{
    $list = array();
    foreach (preg_split('/[\s,]+/', trim($text), -1, PREG_SPLIT_NO_EMPTY) as $p) {
        if (preg_match('/^[0-9.]+$/', $p) || preg_match('/^\[[0-9a-fA-F:.]+\]$/', $p)) {
            $p .= ':3260';
        }
        $list[] = $p;
    }
    return implode(',', $list);
}

/* ov_vanished takes a volume out of the inventory whose unit is gone, if it is
 * blank and nobody has it. */
function ov_vanished($conf, $v)
{
    if ($v['state'] === 'AVAILABLE') {
        ov_call($conf, 'one.volume.delete', array($v['id']));
        return "gone; volume $v[id] ($v[name]) is deleted";
    }
    $in = $v['vm'] !== '-1' && $v['vm'] !== '' ? " in VM $v[vm]" : '';
    return "! gone, and volume $v[id] ($v[name]) is $v[state]$in: it stays in the inventory";
}
