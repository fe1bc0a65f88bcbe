<?php
// Calls a server by PHP's extension xmlrpc. Standard input has a call a line, [method, [parameter, ...]] in JSON;
// standard output gets {"value": ...} or {"fault": code, "text": ...} for each.
$options = ['encoding' => 'UTF-8', 'escaping' => 'markup'];
while (($line = fgets(STDIN)) !== false) {
    [$method, $params] = json_decode($line, true);
    $answer = file_get_contents($argv[1], false, stream_context_create(['http' => [
        'method' => 'POST',
        'header' => 'Content-Type: text/xml',
        'content' => xmlrpc_encode_request($method, $params, $options),
    ]]));
    $value = xmlrpc_decode($answer, 'UTF-8');
    if (is_array($value) && xmlrpc_is_fault($value)) {
        echo json_encode(['fault' => $value['faultCode'], 'text' => $value['faultString']]), "\n";
    } else {
        echo json_encode(['value' => $value]), "\n";
    }
}
