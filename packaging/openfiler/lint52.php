<?php
/*
 * lint52.php FILE...: says where a file is not in the language of PHP 5.2, or
 * calls what PHP 5.2 does not have without extensions. It reads the file with
 * nikic/PHP-Parser (Debian's php-parser) in the grammar of PHP 5, and takes
 * only the kinds of nodes, functions and constants listed here, all of which
 * the PHP manual has for 5.2 or older. What is new is therefore refused until
 * somebody has looked it up.
 *
 * This file itself is for the PHP of today.
 */

require_once 'PhpParser/autoload.php';

use PhpParser\Node;

const NODES = [
    // expressions
    'Arg', 'Name', 'Expr_Array', 'Expr_ArrayDimFetch', 'Expr_ArrayItem', 'Expr_Assign', 'Expr_AssignRef', 'Expr_BooleanNot',
    'Expr_ConstFetch', 'Expr_ErrorSuppress', 'Expr_Exit', 'Expr_FuncCall', 'Expr_Include', 'Expr_Isset', 'Expr_MethodCall', 'Expr_New',
    'Expr_PostInc', 'Expr_PostDec', 'Expr_PreInc', 'Expr_PropertyFetch', 'Expr_Ternary', 'Expr_UnaryMinus', 'Expr_Variable',
    'Expr_AssignOp_Concat', 'Expr_AssignOp_Plus', 'Identifier',
    'Expr_BinaryOp_BitwiseAnd', 'Expr_BinaryOp_BitwiseOr', 'Expr_BinaryOp_BooleanAnd', 'Expr_BinaryOp_BooleanOr', 'Expr_BinaryOp_Concat',
    'Expr_BinaryOp_Div', 'Expr_BinaryOp_Equal', 'Expr_BinaryOp_Greater', 'Expr_BinaryOp_GreaterOrEqual', 'Expr_BinaryOp_Identical',
    'Expr_BinaryOp_Minus', 'Expr_BinaryOp_Mul', 'Expr_BinaryOp_NotEqual', 'Expr_BinaryOp_NotIdentical', 'Expr_BinaryOp_Plus',
    'Expr_BinaryOp_ShiftRight', 'Expr_BinaryOp_Smaller', 'Expr_BinaryOp_SmallerOrEqual',
    'Scalar_Encapsed', 'Scalar_EncapsedStringPart', 'Scalar_LNumber', 'Scalar_MagicConst_File', 'Scalar_String',
    // statements
    'Param', 'Stmt_Break', 'Stmt_Catch', 'Stmt_Class', 'Stmt_Continue', 'Stmt_Echo', 'Stmt_Else', 'Stmt_ElseIf', 'Stmt_Expression', 'Stmt_For',
    'Stmt_Foreach', 'Stmt_Function', 'Stmt_If', 'Stmt_Nop', 'Stmt_Return', 'Stmt_Throw', 'Stmt_TryCatch', 'Stmt_Unset', 'Stmt_While',
];

// Functions of the core, ext/standard and ext/pcre, with the number of
// arguments that they have in 5.2.
const FUNCTIONS = [
    'array_keys' => 3, 'array_merge' => 99, 'array_pop' => 1, 'basename' => 2, 'chr' => 1, 'count' => 2, 'dirname' => 1, 'error_reporting' => 1,
    'escapeshellarg' => 1, 'exec' => 3, 'explode' => 3, 'fclose' => 1, 'feof' => 1, 'file_exists' => 1, 'file_get_contents' => 5,
    'file_put_contents' => 4, 'fileowner' => 1, 'fileperms' => 1, 'flock' => 3, 'fnmatch' => 3, 'fopen' => 4, 'fread' => 2, 'fwrite' => 3,
    'getenv' => 1, 'hexdec' => 1, 'html_entity_decode' => 3, 'implode' => 2, 'in_array' => 3, 'ini_set' => 2, 'intval' => 2, 'is_file' => 1,
    'is_int' => 1, 'ltrim' => 2, 'openlog' => 3, 'ord' => 1, 'parse_url' => 2, 'preg_match' => 5, 'preg_match_all' => 5, 'preg_replace' => 5,
    'preg_split' => 4, 'putenv' => 1, 'register_shutdown_function' => 99, 'str_replace' => 4, 'strcmp' => 2, 'stream_context_create' => 2,
    'stream_get_meta_data' => 1, 'stream_set_timeout' => 3, 'stream_socket_client' => 6, 'strlen' => 1, 'strpos' => 3, 'strtolower' => 1,
    'strval' => 1, 'substr' => 3, 'syslog' => 2, 'trim' => 2, 'version_compare' => 3,
];

const CONSTANTS = [
    'true', 'false', 'null', 'E_ALL', 'ENT_QUOTES', 'LOCK_EX', 'LOG_DAEMON', 'LOG_NOTICE', 'LOG_PID', 'PHP_VERSION', 'PREG_SET_ORDER',
    'PREG_SPLIT_DELIM_CAPTURE', 'PREG_SPLIT_NO_EMPTY', 'STDERR', 'STREAM_CLIENT_CONNECT',
];

// Methods of Exception that 5.2 has.
const METHODS = ['getMessage' => 0, 'getCode' => 0];

/** problem says what of a node PHP 5.2 does not have, or nothing. */
function problem(Node $n, array $own): string
{
    $type = $n->getType();
    if (!in_array($type, NODES, true)) {
        return "$type is not on the list";
    }
    switch (true) {
        case $n instanceof Node\Expr\Array_ && $n->getAttribute('kind') !== Node\Expr\Array_::KIND_LONG:
            return '[…] for an array is of 5.4';
        case $n instanceof Node\Expr\Ternary && $n->if === null:
            return '?: is of 5.3';
        case $n instanceof Node\Expr\ArrayDimFetch && !($n->var instanceof Node\Expr\Variable || $n->var instanceof Node\Expr\ArrayDimFetch):
            return 'an index on anything but a variable is of 5.4 or newer';
        case $n instanceof Node\Expr\MethodCall && !$n->var instanceof Node\Expr\Variable:
            return 'a call on anything but a variable may be newer';
        case $n instanceof Node\Expr\MethodCall && !isset(METHODS[(string) $n->name]):
            return "the method {$n->name} is not on the list";
        case $n instanceof Node\Scalar\LNumber && $n->getAttribute('kind') === Node\Scalar\LNumber::KIND_BIN:
            return '0b… is of 5.4';
        case ($n instanceof Node\Scalar\String_ || $n instanceof Node\Scalar\Encapsed) && $n->getAttribute('kind') > 2:
            return 'heredocs are not on the list';
        case $n instanceof Node\Name && ($n->isFullyQualified() || count($n->parts) > 1 || in_array($n->toLowerString(), ['static', 'self'], true)):
            return "the name $n is of 5.3";
        case $n instanceof Node\Stmt\TryCatch && $n->finally !== null:
            return 'finally is of 5.5';
        case $n instanceof Node\Stmt\Catch_ && (count($n->types) !== 1 || $n->var === null):
            return 'this catch is newer';
        case $n instanceof Node\Stmt\Foreach_ && !$n->valueVar instanceof Node\Expr\Variable:
            return 'list() in foreach is of 5.5';
        case ($n instanceof Node\Param || $n instanceof Node\Arg) && ($n->variadic ?? $n->unpack ?? false):
            return '... is of 5.6';
        case $n instanceof Node\Param && $n->type !== null:
            return 'types of parameters are not on the list';
        case $n instanceof Node\Stmt\Class_ && ($n->stmts || $n->implements):
            return 'classes with members are not on the list';
        case $n instanceof Node\Expr\New_ && (!$n->class instanceof Node\Name || count($n->args) > 2):
            return 'such a new is newer (the third argument of Exception is of 5.3)';
        case $n instanceof Node\Expr\Isset_:
            foreach ($n->vars as $v) {
                if (!$v instanceof Node\Expr\Variable && !$v instanceof Node\Expr\ArrayDimFetch) {
                    return 'such an isset is newer';
                }
            }
            return '';
        case $n instanceof Node\Expr\ConstFetch && !in_array((string) $n->name, CONSTANTS, true):
            return "the constant {$n->name} is not on the list";
        case $n instanceof Node\Expr\FuncCall:
            if (!$n->name instanceof Node\Name) {
                return 'a call of what a variable holds is not on the list';
            }
            $name = $n->name->toLowerString();
            if (!isset($own[$name]) && !isset(FUNCTIONS[$name])) {
                return "the function $name is not on the list";
            }
            if (!isset($own[$name]) && count($n->args) > FUNCTIONS[$name]) {
                return "$name has at most " . FUNCTIONS[$name] . ' arguments in 5.2';
            }
    }
    return '';
}

$bad = 0;
foreach (array_slice($argv, 1) as $file) {
    $lexer = new PhpParser\Lexer(['usedAttributes' => ['startLine', 'kind']]);
    $parser = (new PhpParser\ParserFactory())->create(PhpParser\ParserFactory::ONLY_PHP5, $lexer);
    try {
        $tree = $parser->parse(file_get_contents($file));
    } catch (PhpParser\Error $e) {
        fwrite(STDERR, "$file: {$e->getMessage()}\n");
        $bad++;
        continue;
    }
    $finder = new PhpParser\NodeFinder();
    $own = [];
    foreach ($finder->findInstanceOf($tree, Node\Stmt\Function_::class) as $f) {
        $own[$f->name->toLowerString()] = true;
    }
    foreach ($finder->find($tree, fn () => true) as $n) {
        $why = problem($n, $own);
        if ($why !== '') {
            fwrite(STDERR, "$file:{$n->getStartLine()}: $why\n");
            $bad++;
        }
    }
}
if ($argc < 2) {
    fwrite(STDERR, "usage: lint52.php FILE...\n");
    exit(2);
}
exit($bad > 0 ? 1 : 0);
