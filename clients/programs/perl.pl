# Calls a server by Perl's RPC::XML. Standard input has a call a line, [method, [parameter, ...]] in JSON; standard
# output gets {"value": ...} or {"fault": code, "text": ...} for each.
use strict;
use warnings;
use JSON::PP;
use RPC::XML;
use RPC::XML::Client;

$RPC::XML::ENCODING = 'utf-8';
my $json   = JSON::PP->new->utf8->allow_nonref->canonical;
my $server = RPC::XML::Client->new($ARGV[0]);

# RPC::XML guesses types by looks, which would make a number of the name "17": say them.
sub typed {
    my ($v) = @_;
    return RPC::XML::boolean->new($v ? 1 : 0) if JSON::PP::is_bool($v);
    return RPC::XML::array->new(map { typed($_) } @$v) if ref $v eq 'ARRAY';
    return RPC::XML::struct->new({ map { $_ => typed($v->{$_}) } keys %$v }) if ref $v eq 'HASH';
    return RPC::XML::string->new($v) if $json->encode($v) =~ /^"/;
    return RPC::XML::int->new($v);
}

sub plain {
    my ($v) = @_;
    my $type = $v->type;
    return [map { plain($_) } @$v] if $type eq 'array';
    return { map { $_ => plain($v->{$_}) } keys %$v } if $type eq 'struct';
    return $v->value ? JSON::PP::true : JSON::PP::false if $type eq 'boolean';
    return $type eq 'string' ? $v->value . '' : $v->value + 0;
}

$| = 1;
while (my $line = <STDIN>) {
    my ($method, $params) = @{ $json->decode($line) };
    my $answer = $server->send_request(RPC::XML::request->new($method, map { typed($_) } @$params));
    die "$method: $answer\n" unless ref $answer;
    print $json->encode($answer->is_fault
        ? { fault => $answer->code + 0, text => $answer->string }
        : { value => plain($answer) }), "\n";
}
